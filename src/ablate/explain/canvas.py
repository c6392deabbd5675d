"""Pictures made of boxes: text, bars and pixels as Pillow images, put beside and below each other on white."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ablate.record import write_atomically

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), RGB

INK, GREY, FAINT, PAPER = "#1f2328", "#656d76", "#d0d7de", "#ffffff"
RIGHT, WRONG = "#00785a", "#c44e00"  # bluish green and vermilion: distinct to every kind of colour vision
GAP = 8


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: the same letters on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf" / name, size)


class Span(NamedTuple):
    """A piece of a line of text."""

    text: str
    colour: str = INK
    bold: bool = False


def line(width: int, *spans: Span | str, end: Span | str = "", size: int = 12) -> Image.Image:
    """One line of text, `end` flush right. What does not fit is cut at the end of the last span, with an ellipsis."""
    image = space(width, round(size * 1.5))
    draw, middle = ImageDraw.Draw(image), image.height // 2
    end = Span(end) if isinstance(end, str) else end
    room = float(width)
    if end.text:
        face = font(size, end.bold)
        draw.text((width, middle), end.text, ImageColor.getrgb(end.colour), face, anchor="rm")
        room -= face.getlength(end.text) + size / 2
    x = 0.0
    for span in spans:
        piece = Span(span) if isinstance(span, str) else span
        face = font(size, piece.bold)
        text = shortened(piece.text, room - x, face)
        draw.text((x, middle), text, ImageColor.getrgb(piece.colour), face, anchor="lm")
        x += face.getlength(text)
    return image


def shortened(text: str, width: float, face: ImageFont.FreeTypeFont) -> str:
    """`text`, or as much of it as fits into `width` pixels together with an ellipsis."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def picture(pixels: Pixels, size: tuple[int, int]) -> Image.Image:
    """Pixels enlarged to (width, height)."""
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)


def paragraph(width: int, text: str, colour: str = INK, bold: bool = False, size: int = 12) -> Image.Image:
    """Text in as many lines as it needs, broken between words."""
    face, lines = font(size, bold), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return below([line(width, Span(each, colour, bold), size=size) for each in lines], gap=0)


def space(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def beside(images: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """From left to right, tops aligned."""
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    row = space(width, max(image.height for image in images))
    x = 0
    for image in images:
        row.paste(image, (x, 0))
        x += image.width + gap
    return row


def below(images: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """From top to bottom, left edges aligned."""
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    column = space(max(image.width for image in images), height)
    y = 0
    for image in images:
        column.paste(image, (0, y))
        y += image.height + gap
    return column


def grid(images: Sequence[Image.Image], columns: int, gap: int = GAP) -> Image.Image:
    """Row by row."""
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    return below([beside(row, gap) for row in rows], gap)


def framed(image: Image.Image, margin: int = GAP) -> Image.Image:
    """With a white margin: text at the very edge is hard to read on a dark page."""
    frame = space(image.width + 2 * margin, image.height + 2 * margin)
    frame.paste(image, (margin, margin))
    return frame


def rendered(figure: Figure) -> Image.Image:
    """A matplotlib figure as a picture, without pyplot: its figures outlive what they are drawn for."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def save(image: Image.Image, path: Path) -> Path:
    """As PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    image.save(content, format="PNG")
    write_atomically(path, content.getvalue())
    return path
