"""One picture in many networks: a column a variant, a row a seed."""

from collections.abc import Mapping, Sequence

from PIL import Image

from ablate.explain.canvas import (
    GAP,
    GREY,
    INK,
    RIGHT,
    WRONG,
    Span,
    below,
    beside,
    framed,
    line,
    paragraph,
    picture,
    space,
)
from ablate.explain.compare import Arm, NoiseFloor
from ablate.explain.overlay import overlay, scale_bar
from ablate.explain.panel import enlarged, number, sheet
from ablate.explain.shown import Shown

_CELL = 128  # pixels
_MOST_SEEDS = 4  # rows drawn
_WIDEST = 1500  # pixels, of a page


def side_by_side(name: str, cells: Mapping[Arm, Shown], classes: Sequence[str], layer: str) -> Image.Image:
    """The picture | each variant's overlay for the same class; one row a seed, up to four.

    Every `Shown` is of the same picture, with evidence for one class.
    """
    some = next(iter(cells.values()))
    size = enlarged(some.pixels, _CELL)
    variants = list(dict.fromkeys(arm.variant for arm in cells))
    seeds = sorted({arm.seed for arm in cells})[:_MOST_SEEDS]
    (asked,) = some.evidence
    what = [Span("for ", GREY), Span(classes[asked], INK, True)]
    truth = "" if some.label is None else f"it is {classes[some.label]}"
    first = [line(size[0], *what), picture(some.pixels, size), line(size[0], Span(truth, GREY), size=11)]
    columns = [below(first, gap=2)]
    for variant in variants:
        column = [line(size[0], Span(variant or "run", INK, True))]
        for seed in seeds:
            shown = cells.get(Arm(variant, seed))
            column.append(_cell(shown, classes, layer, seed, size) if shown else space(size[0], size[1] + 40))
        columns.append(below(column, gap=2))
    body = beside(columns)
    return framed(below([line(body.width, Span(name, INK, True), size=15), body], gap=4))


def page(panels: Sequence[Image.Image], floor: NoiseFloor, layer: str, method: str, num_seeds: int) -> Image.Image:
    """The verdict, and all pictures beneath it."""
    columns = max(1, min(3, _WIDEST // panels[0].width))
    body = sheet(panels, columns)
    width = max(body.width - 2 * GAP, 600)
    hidden = f"; {_MOST_SEEDS} of {num_seeds} seeds drawn" if num_seeds > _MOST_SEEDS else ""
    what = f"{method} at {layer}; {floor.num_runs} runs, correlations over {floor.num_pictures} test pictures{hidden}"
    heading = [
        paragraph(width, floor.verdict, INK, bold=True, size=14),
        beside([line(width - 200 - GAP, Span(what, GREY)), scale_bar(200)]),
    ]
    return below([framed(below(heading)), body], gap=0)


def _cell(shown: Shown, classes: Sequence[str], layer: str, seed: int, size: tuple[int, int]) -> Image.Image:
    ((_, maps),) = shown.evidence.items()
    highest = float(maps[layer].max())
    said = f"{classes[shown.predicted]} {shown.probabilities.max():.2f}"
    colour = INK if shown.label is None else (RIGHT if shown.predicted == shown.label else WRONG)
    mark = "" if shown.label is None else ("✓ " if shown.predicted == shown.label else "✗ ")
    most = f"max {number(highest)}" if highest > 0 else "nothing for it"
    return below(
        [
            line(size[0], Span(f"seed {seed}", GREY), end=Span(most, GREY), size=11),
            overlay(shown.pixels, maps[layer], highest, size),
            line(size[0], Span(mark + said, colour), size=11),
        ],
        gap=2,
    )
