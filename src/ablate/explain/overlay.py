"""A map made visible: smoothly over its picture, as its own cells, and the scale that both share.

The picture goes grey, so that every colour is evidence and none is the object's. `inferno` is even in lightness and
distinct to every kind of colour vision; it fades to the bare picture where there is no evidence.
"""

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageDraw

from ablate.explain.canvas import FAINT, GREY, Pixels, Span, below, line, picture

FloatArray = npt.NDArray[np.float32]

_COLOURS = np.asarray(colormaps["inferno"](np.arange(256)))[:, :3] * 255  # (256, 3)
_OPACITY = 0.7  # at the peak: the object stays visible under it
_SEAM = "#3a3447"  # between cells: visible on black and on bright ones, and louder than neither
_MIN_CELL = 6  # pixels; smaller cells get no lines between them


def overlay(pixels: Pixels, evidence: FloatArray, peak: float, size: tuple[int, int]) -> Image.Image:
    """Evidence (h, w) of [0, `peak`] over pixels (H, W, 3), both smoothly enlarged to `size` (width, height)."""
    grey = np.asarray(picture(pixels, size).convert("L"), dtype=np.float32)[..., None]
    given = Image.fromarray(_fraction(evidence, peak))
    fraction = np.asarray(given.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    # Beyond a peak the cubic swings back above zero, where no cell nearby holds any evidence.
    fraction = fraction * (np.asarray(given.resize(size, Image.Resampling.BILINEAR)) > 0)
    opacity = (_OPACITY * np.sqrt(fraction))[..., None]
    return Image.fromarray(np.uint8(grey * (1 - opacity) + _coloured(fraction) * opacity))


def cells(evidence: FloatArray, peak: float, size: tuple[int, int]) -> Image.Image:
    """The same evidence as the layer has it: one flat square a cell."""
    h, w = evidence.shape
    flat = Image.fromarray(np.uint8(_coloured(_fraction(evidence, peak))))
    image = flat.resize(size, Image.Resampling.NEAREST)
    if min(size[0] / w, size[1] / h) >= _MIN_CELL:
        draw = ImageDraw.Draw(image)
        for i in range(1, w):
            x = round(i * size[0] / w)
            draw.line([(x, 0), (x, size[1])], _SEAM)
        for j in range(1, h):
            y = round(j * size[1] / h)
            draw.line([(0, y), (size[0], y)], _SEAM)
    return image


def scale_bar(width: int, low: str = "no evidence", high: str = "most") -> Image.Image:
    """The colours from no evidence to the most, with their names."""
    ramp = np.broadcast_to(_COLOURS.astype(np.uint8), (8, 256, 3))
    bar = Image.fromarray(np.ascontiguousarray(ramp)).resize((width - 2, 8), Image.Resampling.BILINEAR)
    frame = Image.new("RGB", (width, 10), FAINT)
    frame.paste(bar, (1, 1))
    return below([frame, line(width, Span(low, GREY), end=Span(high, GREY), size=11)], gap=2)


def _fraction(evidence: FloatArray, peak: float) -> FloatArray:
    if peak <= 0:
        return np.zeros_like(evidence)
    return (evidence / np.float32(peak)).clip(0, 1)


def _coloured(fraction: FloatArray) -> npt.NDArray[np.float64]:
    colours: npt.NDArray[np.float64] = _COLOURS[np.round(fraction * 255).astype(np.intp)]
    return colours
