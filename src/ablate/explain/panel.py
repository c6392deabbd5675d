"""A panel shows one picture, what a network said of it, and what spoke for it.  K classes, h x w cells of a layer."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ablate.explain.canvas import (
    FAINT,
    GAP,
    GREY,
    INK,
    RIGHT,
    WRONG,
    Pixels,
    Span,
    below,
    beside,
    font,
    framed,
    line,
    picture,
    shortened,
    space,
)
from ablate.explain.overlay import cells, overlay, scale_bar
from ablate.explain.shown import Shown

_TARGET_SIZE = 152  # pixels: about the size that a small picture is enlarged to; room for a caption above it
_NUM_ANSWERS = 3  # most probable classes listed


def panel(
    shown: Shown, classes: Sequence[str], note: str = "", scale: Mapping[str, float] | None = None
) -> Image.Image:
    """The picture | an overlay for each layer, with the layer's own cells beneath; two rows more for each class.

    `note` goes to the upper right: the epoch, the method. `scale`: layer -> the value drawn brightest, to compare
    panels; without it each map is drawn up to its own maximum, which is written above it.
    """
    size = enlarged(shown.pixels)
    first, *others = shown.evidence
    rows = [_row(shown, classes, first, size, scale, _answers(shown, classes, size))]
    rows += [_row(shown, classes, other, size, scale, space(*size)) for other in others]
    body = below(rows)
    heading = line(body.width, *verdict(shown, classes), end=Span(note, GREY), size=15)
    return framed(below([heading, body], gap=GAP // 2))


def sheet(panels: Sequence[Image.Image], columns: int = 2) -> Image.Image:
    """All panels on one page: each goes to the column that is shortest so far."""
    stacks: list[list[Image.Image]] = [[] for _ in range(min(columns, len(panels)))]
    for image in panels:
        min(stacks, key=lambda stack: sum(above.height for above in stack)).append(image)
    return beside([below(stack) for stack in stacks])


def enlarged(pixels: Pixels, target: int = _TARGET_SIZE) -> tuple[int, int]:
    """(width, height) for drawing: a whole multiple, so that the cells of every layer come out equally large."""
    height, width = pixels.shape[:2]
    factor = max(1, round(target / max(height, width)))
    return width * factor, height * factor


def verdict(shown: Shown, classes: Sequence[str]) -> list[Span]:
    """The label and the prediction, told apart by a mark as well as by a colour."""
    said, probability = classes[shown.predicted], f"{shown.probabilities.max():.2f}"
    if shown.label is None:
        return [Span("predicted ", GREY), Span(f"{said} {probability}", INK, True)]
    if shown.predicted == shown.label:
        return [Span(said, INK, True), Span(f"  ✓ predicted {probability}", RIGHT)]
    return [Span(classes[shown.label], INK, True), Span(f"  ✗ predicted {said} {probability}", WRONG)]


def _row(
    shown: Shown,
    classes: Sequence[str],
    class_index: int,
    size: tuple[int, int],
    scale: Mapping[str, float] | None,
    beneath: Image.Image,
) -> Image.Image:
    name = line(size[0], Span("evidence for ", GREY), Span(classes[class_index], INK, True))
    columns = [below([name, picture(shown.pixels, size), line(size[0], size=10), beneath], gap=2)]
    for layer, values in shown.evidence[class_index].items():
        h, w = values.shape
        highest = float(values.max())
        peak = highest if scale is None else scale[layer]
        most = Span(f"max {number(highest)}" if highest > 0 else "nothing for it", GREY)
        images = [
            line(size[0], Span(layer, INK, True), end=most),
            overlay(shown.pixels, values, peak, size),
            line(size[0], Span(f"its {h} x {w} cells", GREY), size=10),
            cells(values, peak, size),
        ]
        columns.append(below(images, gap=2))
    return beside(columns)


def number(value: float) -> str:
    """Three significant digits, without an exponent where it can be helped."""
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def _answers(shown: Shown, classes: Sequence[str], size: tuple[int, int]) -> Image.Image:
    """The most probable classes as bars, and the label if it is not one of them; beneath, the scale of the colours."""
    width, height = size
    best = [int(k) for k in np.argsort(-shown.probabilities, kind="stable")[:_NUM_ANSWERS]]
    if shown.label is not None and shown.label not in best:
        best[-1] = shown.label
    image = space(width, height)
    draw = ImageDraw.Draw(image)
    y = 2
    for k in best:
        probability = float(shown.probabilities[k])
        colour = RIGHT if k == shown.label else (WRONG if k == shown.predicted and shown.label is not None else GREY)
        draw.text((0, y), shortened(classes[k], width - 34, font(11)), INK, font(11))
        draw.text((width, y), f"{probability:.2f}", GREY, font(11), anchor="ra")
        draw.rectangle([(0, y + 15), (width - 1, y + 18)], FAINT)
        if probability > 0:
            draw.rectangle([(0, y + 15), (max(1, round(probability * (width - 1))), y + 18)], colour)
        y += 27
    bar = scale_bar(width)
    image.paste(bar, (0, height - bar.height))
    return image
