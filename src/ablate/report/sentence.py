"""The answer in one line, for the terminal and the head of the page."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from ablate.report.metric import decimals, number
from ablate.report.statistics import MAX_SEEDS
from ablate.report.verdict import Comparison, Settings, Verdict, judge


def sentence(comparison: Comparison, settings: Settings) -> str:
    """ "nesterov=true - nesterov=false: +0.08 points test accuracy [95 % CI -0.14, +0.30], 5 paired seeds:
    inconclusive; equivalent within 0.25; to resolve 0.2 points you need about 11 seeds"
    """
    return "".join(parts(comparison, settings))


def parts(c: Comparison, settings: Settings) -> tuple[str, str, str]:
    """The sentence in three: what was measured, the verdict, and what follows from it."""
    return f"{measured(c, settings)}: ", _verdict(c, settings), "".join(f"; {each}" for each in _more(c, settings))


def tally(comparisons: Sequence[Comparison]) -> str:
    """ "2 better, 1 equivalent, 12 inconclusive" """
    counts: Counter[str] = Counter(c.verdict for c in comparisons)
    return ", ".join(f"{counts[each]} {each}" for each in get_args(Verdict) if counts[each])


def measured(c: Comparison, settings: Settings) -> str:
    """What was compared, the difference, its interval, the seeds."""
    metric = settings.metric
    over = f" ({c.contrast.over})" if c.contrast.over else ""
    what = " ".join(filter(None, (number(c.difference, places_of(c), sign=True), metric.unit, metric.words)))
    return f"{c.a.label} - {c.b.label}{over}: {what} [{interval(c, settings)}], {seeds(c)}"


def interval(c: Comparison, settings: Settings) -> str:
    if c.t is None:
        return "no interval"
    low, high = (number(bound, places_of(c), sign=True) for bound in (c.t.low, c.t.high))
    return f"{100 * settings.level:g} % CI {low}, {high}"


def seeds(c: Comparison) -> str:
    if c.paired:
        return f"{c.a.n} paired seeds"
    return "1 run each" if c.a.n == c.b.n == 1 else f"{c.a.n} and {c.b.n} unpaired runs"


def places_of(c: Comparison) -> int:
    """Decimals for the numbers of a comparison: enough that a bound near 0 shows on which side it lies."""
    if c.t is None:
        return 2
    places = decimals((c.t.high - c.t.low) / 2)
    while places < 5 and any(bound and round(bound, places) == 0 for bound in (c.t.low, c.t.high)):
        places += 1
    return places


def amount(value: float | None, settings: Settings) -> str:
    """ "0.2 points" """
    return "-" if value is None else f"{value:g} {settings.metric.unit}".rstrip()


def _verdict(c: Comparison, settings: Settings) -> str:
    words = f"equivalent within {amount(settings.margin, settings)}" if c.verdict == "equivalent" else c.verdict
    return f"{words} (Holm over {c.family} comparisons)" if c.family > 1 else words


def _more(c: Comparison, settings: Settings) -> list[str]:
    if c.t is None:
        return [c.reason]
    if c.verdict == "equivalent":
        direction = judge(c.difference, c.p_holm, None, settings)
        return [] if direction == "inconclusive" else [f"{direction}, but by less than the margin"]
    if c.verdict != "inconclusive" or c.within is None:
        return []
    alone = ["its interval alone excludes 0"] if not c.t.low <= 0 <= c.t.high else []
    places = places_of(c)
    within = f"equivalent within {number(math.ceil(c.within * 10**places) / 10**places, places)}"
    if not settings.margin or (c.seeds_needed is not None and c.seeds_needed <= min(c.a.n, c.b.n)):
        return [*alone, within]
    needed = f"more than {MAX_SEEDS:,}" if c.seeds_needed is None else f"about {c.seeds_needed}"
    return [*alone, within, f"to resolve {amount(settings.margin, settings)} you need {needed} seeds"]
