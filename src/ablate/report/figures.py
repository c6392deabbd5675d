"""The report's pictures, as SVG to put into the page.

Colours are the page's CSS variables, so that a picture follows light and dark mode; arms differ in marker and dash as
well, so that it can be read without colour. Text stays text.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablate.report.arms import Arm
from ablate.report.curves import curve
from ablate.report.metric import Metric, decimals, number
from ablate.report.sentence import interval
from ablate.report.statistics import mean_interval
from ablate.report.verdict import Comparison, Settings

MAX_ROWS = 16  # arms or comparisons in one picture
MAX_CURVES = 6  # arms in a picture of curves
MAX_JOINED = 100  # seeds; the lines of more are one grey area

_WIDTH = 380  # px: a phone shows it nearly as large, a desktop larger
_MAX_LABEL = 46  # characters
_INK, _FAINT, _BAND = "#010101", "#020202", "#030303"
_ARMS = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05", "#0a0a06")
_CSS = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _BAND: "var(--band)",
    **{colour: f"var(--arm-{i})" for i, colour in enumerate(_ARMS)},
}
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
_AT_AXES: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10.5,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.dpi": 72,
}


def differences(comparisons: Sequence[Comparison], settings: Settings) -> str:
    """A row a comparison: the interval of the difference, the differences by seed as dots, the margin as a band."""
    shown = comparisons[:MAX_ROWS]
    with _figure("differences", (66 if len(shown) > 1 else 86) + 50 * len(shown)) as (_, axes, out):
        margin = settings.margin
        if margin:
            axes.axvspan(-margin, margin, color=_BAND, linewidth=0)
            for edge in (-margin, margin):
                axes.axvline(edge, color=_FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.axvline(0, color=_INK, linewidth=0.9)
        for row, c in enumerate(shown):
            y = -row
            axes.plot(c.differences, np.full(len(c.differences), y - 0.24), **_dots(_FAINT, "o", 4.4))
            if c.t:
                if c.family > 1 and c.simultaneous:
                    axes.plot(c.simultaneous, (y, y), color=_ARMS[1], linewidth=0.9)
                axes.plot((c.t.low, c.t.high), (y, y), color=_ARMS[1], linewidth=3.2, solid_capstyle="butt")
            axes.plot(c.difference, y, **_dots(_ARMS[1], "D", 6.5))
            if len(shown) > 1:
                _row_label(axes, y, f"{c.a.label} - {c.b.label}", c.verdict)
            else:
                _row_label(axes, y, "", interval(c, settings))
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -0.05 * (high - low)), max(high, 0.05 * (high - low)))
        axes.set_ylim(0.45 - len(shown), 0.75)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        left, right = ("worse", "better") if settings.metric.higher_is_better else ("better", "worse")
        axes.annotate(f"← {left}", (0, 0), (0, -31), ha="left", **_AT_AXES)
        axes.annotate(f"{right} →", (1, 0), (0, -31), ha="right", **_AT_AXES)
        axes.set_xlabel(f"difference ({settings.metric.unit})" if settings.metric.unit else "difference")
    return out[0]


def runs(arms: Sequence[Arm], metric: Metric, level: float) -> str:
    """A row an arm: a dot a run, the mean with its interval; runs of one seed are joined, unless they are many."""
    shown = [arm for arm in arms if arm.values][:MAX_ROWS]
    with _figure("runs", 52 + 48 * len(shown)) as (_, axes, out):
        for row, (upper, lower) in enumerate(pairwise(shown)):
            for seed in sorted(set(upper.values) & set(lower.values)) if joined(shown) else ():
                ends = (upper.values[seed], lower.values[seed])
                axes.plot(ends, (-row, -row - 1), color=_FAINT, linewidth=0.7, zorder=1)
        for row, arm in enumerate(shown):
            i = row % len(_ARMS)
            values = np.array(list(arm.values.values()))
            axes.plot(values, np.full(len(values), -row), **_dots(_ARMS[i], _MARKERS[i], 5.5))
            within = mean_interval(values, level)
            if within:
                axes.plot(within, (-row + 0.2,) * 2, color=_ARMS[i], linewidth=2.4, solid_capstyle="butt")
            axes.plot(values.mean(), -row + 0.2, marker="|", markersize=9, markeredgewidth=1.6, color=_INK)
            places = decimals((within[1] - within[0]) / 2 if within else None)
            _row_label(axes, -row + 0.14, arm.label, f"mean {number(float(values.mean()), places)}")
        if metric.is_fraction:  # a t interval of few runs knows no bounds
            low, high = axes.get_xlim()
            room = 0.02 * (min(high, 100) - max(low, 0))
            axes.set_xlim(max(low, -room), min(high, 100 + room))
        axes.set_ylim(0.7 - len(shown), 0.85)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(metric.axis)
    return out[0]


def joined(arms: Sequence[Arm]) -> bool:
    """Whether runs of one seed are joined by lines."""
    return max(len(arm.values) for arm in arms) <= MAX_JOINED


def curves(arms: Sequence[Arm], name: str, target: float | None = None) -> str | None:
    """Mean over the runs of each arm, by epoch, within one standard deviation; None if nothing was logged."""
    found = [(i, arm, each) for i, arm in enumerate(arms[:MAX_CURVES]) if (each := curve(arm, name))]
    if not found:
        return None
    metric = Metric(name)
    with _figure(name, 232 + 13 * len(found)) as (figure, axes, out):
        for i, arm, each in found:
            if each.sd.any():
                axes.fill_between(
                    each.epochs, each.mean - each.sd, each.mean + each.sd, color=_ARMS[i], alpha=0.16, linewidth=0
                )
            every = max(1, len(each.epochs) // 8)
            marks: dict[str, Any] = {"marker": _MARKERS[i], "markersize": 3.6, "markevery": (i % every, every)}
            axes.plot(
                each.epochs,
                each.mean,
                color=_ARMS[i],
                linestyle=_DASHES[i],
                linewidth=1.6,
                label=_cut(arm.label),
                **marks,
            )
        # The first epochs would press the rest, which is of interest, into a corner.
        settled = np.concatenate([each.mean[_num_steep(len(each.mean)) :] for _, _, each in found])
        low, high = settled.min(), settled.max()
        if target is not None and low - (high - low) < target < high + (high - low):
            low, high = min(low, target), max(high, target)
            axes.axhline(target, color=_FAINT, linewidth=0.9, linestyle=(0, (2, 2)))
            axes.annotate(
                f"target {target:g} %", (1, target), (-2, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=9,
            )  # fmt: skip
        room = 0.08 * float(high - low or 1)
        axes.set_ylim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=_FAINT, linewidth=0.4, alpha=0.5)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric.axis)
        figure.legend(loc="outside lower left", ncols=1, handlelength=3.6)
    return out[0]


def _num_steep(num_epochs: int) -> int:
    """How many first epochs the scale of a picture leaves out of account."""
    return max(1, num_epochs // 5) if num_epochs > 2 else 0


def _dots(colour: str, marker: str, size: float) -> dict[str, Any]:
    return {"linestyle": "", "marker": marker, "markersize": size, "color": colour, "markeredgewidth": 0}


def _row_label(axes: Axes, y: float, left: str, right: str) -> None:
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9.5}
    axes.annotate(_cut(left), (0, y), (0, 12), ha="left", weight="bold", **place)
    axes.annotate(right, (1, y), (0, 12), ha="right", **place)


def _cut(label: str) -> str:
    """What fits beside a number; the tables have it whole."""
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


@contextmanager
def _figure(name: str, height: float) -> Iterator[tuple[Figure, Axes, list[str]]]:
    """A figure to draw on; once drawn, the list holds its SVG. The same picture gives the same bytes."""
    out: list[str] = []
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's browser has more fonts
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        yield figure, figure.add_subplot(), out
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    out.append(_for_page(buffer.getvalue()))


def _for_page(svg: str) -> str:
    """Without prologue, metadata, fixed size and names that would clash; colours and font from the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r'^<svg [^>]*(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)  # places, never the labels
    for colour, variable in _CSS.items():
        svg = svg.replace(colour, variable)
    return svg
