"""The gallery of mistakes: five in a row, each with the evidence that misled the network."""

from collections.abc import Sequence

from PIL import Image

from ablate.explain.canvas import GAP, GREY, INK, WRONG, Span, below, beside, framed, grid, line, picture, space
from ablate.explain.overlay import overlay, scale_bar
from ablate.explain.panel import enlarged
from ablate.explain.shown import Shown

COLUMNS = 5
_MIN_WIDTH = 128  # of a tile; room for two lines of caption
_BAR_WIDTH = 200


def gallery(
    mistakes: Sequence[tuple[int, Shown]], classes: Sequence[str], layer: str, num_wrong: int, num_tested: int
) -> Image.Image:
    """`mistakes`: (number in the test set, the picture with evidence for its prediction)."""
    tiles = [_tile(number, shown, classes, layer) for number, shown in mistakes]
    tile_width = max([tile.width for tile in tiles], default=_MIN_WIDTH)
    width = COLUMNS * tile_width + (COLUMNS - 1) * 2 * GAP
    right = f"{100 * (1 - num_wrong / max(1, num_tested)):.2f} % right"
    if not tiles:
        words = line(width, Span(f"No mistake among {num_tested:,} test pictures", INK, True), end=right, size=15)
        return framed(words, 2 * GAP)
    count = "The only mistake" if num_wrong == 1 else f"All {num_wrong:,} mistakes"
    if num_wrong > len(tiles):
        count = f"The {len(tiles)} most confident of {num_wrong:,} mistakes"
    what = Span(f"beneath each: evidence for what it was taken for, {layer}", GREY)
    heading = [
        line(width, Span(f"{count} among {num_tested:,} test pictures", INK, True), end=Span(right, GREY), size=15),
        beside([line(width - _BAR_WIDTH - GAP, what), scale_bar(_BAR_WIDTH)]),
    ]
    body = grid(tiles, COLUMNS, gap=2 * GAP)
    if body.width < width:
        body = beside([body, space(width - body.width, 1)], gap=0)
    return framed(below([*heading, body]), 2 * GAP)


def _tile(number: int, shown: Shown, classes: Sequence[str], layer: str) -> Image.Image:
    size = enlarged(shown.pixels, _MIN_WIDTH)
    values = shown.evidence[shown.predicted][layer]
    assert shown.label is not None
    name = Span(f"#{number}", GREY)
    captions = [
        line(size[0], Span(classes[shown.label], INK, True), end=name),
        line(
            size[0],
            Span("✗ ", WRONG, True),
            Span(classes[shown.predicted], WRONG),
            end=Span(f"{shown.probabilities.max():.2f}", WRONG),
        ),
    ]
    images = [picture(shown.pixels, size), overlay(shown.pixels, values, float(values.max()), size)]
    return below([*captions, *images], gap=2)
