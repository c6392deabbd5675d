"""The trust card as a picture: the verdict, the checks, and two small figures."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ablate.explain.canvas import GAP, GREY, INK, RIGHT, WRONG, Span, below, beside, framed, line, paragraph, rendered
from ablate.explain.checks import TRAINED_AT_MOST, Check
from ablate.explain.trust import MARKS, Card

_COLOURS = {True: RIGHT, False: WRONG, None: GREY}
_WIDTH = 880
_OWN, _CHANCE = "#0072B2", "#8c959f"


def draw(card: Card) -> Image.Image:
    """One column of text, and beneath it what the numbers look like."""
    heading = paragraph(_WIDTH, card.verdict, INK, bold=True, size=15)
    rows = [_row(check) for check in card.checks]
    foot = line(_WIDTH, Span(f"{card.num_pictures} test pictures; means with 95 % intervals", GREY), size=11)
    figure = _figure(card)
    parts = [heading, *rows, foot] if figure is None else [heading, *rows, rendered(figure), foot]
    return framed(below(parts), 2 * GAP)


def _row(check: Check) -> Image.Image:
    mark = line(20, Span(MARKS[check.passed], _COLOURS[check.passed], True), size=13)
    name = line(120, Span(check.name, INK, True))
    return beside([mark, name, paragraph(_WIDTH - 140 - 2 * GAP, check.says, GREY if check.passed is None else INK)])


def _figure(card: Card) -> Figure | None:
    found = {check.name: check for check in card.checks if check.numbers}
    against = [check for check in found.values() if "chance" in check.numbers]
    cascade = found.get("randomisation")
    if cascade is None and not against:
        return None
    figure = Figure(figsize=(_WIDTH / 110, 2.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    if cascade is not None:
        _draw_cascade(left, cascade.numbers)
    if against:
        _draw_against(right, against)
    for axes, drawn in ((left, cascade is not None), (right, bool(against))):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.set_visible(drawn)
    return figure


def _draw_cascade(axes: Axes, numbers: Any) -> None:
    names = ["trained", *numbers]
    means = np.array([1.0, *(each["mean"] for each in numbers.values())])
    half = np.array([0.0, *(each["high"] - each["mean"] for each in numbers.values())])
    axes.axhspan(-TRAINED_AT_MOST, TRAINED_AT_MOST, color="#00785a", alpha=0.12, linewidth=0)
    axes.errorbar(range(len(names)), means, yerr=half, color=_OWN, marker="o", markersize=4, linewidth=1.2)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set(ylim=(min(-0.45, float((means - half).min()) - 0.05), 1.08))
    axes.set_title("Rank correlation as weights become random, from the head down", fontsize=8.5, loc="left")
    axes.grid(axis="y", alpha=0.25)


def _draw_against(axes: Axes, against: list[Check]) -> None:
    for row, check in enumerate(against):
        for key, colour, offset in (("own", _OWN, -0.12), ("chance", _CHANCE, 0.12)):
            each = check.numbers[key]
            half = each["high"] - each["mean"]
            axes.errorbar(
                each["mean"], row + offset, xerr=half, color=colour, marker="o", markersize=4, linewidth=1.6,
                label=("this method" if key == "own" else "random maps") if row == 0 else None,
            )  # fmt: skip
    axes.set_yticks(range(len(against)), [check.name for check in against])
    axes.set(ylim=(len(against) - 0.4, -0.6))
    axes.margins(x=0.1)
    axes.axvline(0, color="#d0d7de", linewidth=1)
    axes.set_title("Against random maps of the same layer (right is better)", fontsize=8.5, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="best")
    axes.grid(axis="x", alpha=0.25)
