"""A comparison, number by number, in words: what the page and the Markdown report list."""

from collections.abc import Sequence
from typing import NamedTuple

from ablate.report.metric import decimals, number, p_phrase, p_value
from ablate.report.sentence import amount, places_of
from ablate.report.statistics import MAX_EXACT, MAX_SEEDS, Share, TTest, sign_flip_floor
from ablate.report.verdict import Comparison, Settings, Side


class Row(NamedTuple):
    """A quantity, its values, one a comparison, and how to read it."""

    name: str
    values: tuple[str, ...]
    note: str


def details(comparisons: Sequence[Comparison], settings: Settings) -> list[Row]:
    """Every number of some comparisons of one family, a column each; what could not be computed is "-"."""
    columns = [_details(c, settings, several=len(comparisons) > 1) for c in comparisons]
    return [
        Row(
            same[0][0],
            tuple(value for _, value, _ in same),
            same[0][2] if len({note for _, _, note in same}) == 1 else "",
        )
        for same in zip(*columns, strict=True)
    ]


def _details(c: Comparison, settings: Settings, *, several: bool) -> list[tuple[str, str, str]]:
    """Name, value, note."""
    level, unit = f"{100 * settings.level:g} %", settings.metric.unit
    places, rests = places_of(c), "; the verdict rests on it"
    rows = [
        ("the first" if several else c.a.label, _side(c.a, settings), "mean of the seeds, standard deviation"),
        ("the second" if several else c.b.label, _side(c.b, settings), "the baseline"),
        ("difference", f"{number(c.difference, places, sign=True)} {unit}".strip(), ""),
        ("paired by seed", _t(c.t_paired, places), f"{level} t interval{rests if c.paired else ''}"),
        ("unpaired", _t(c.t_welch, places), f"Welch's {level} t interval{'' if c.paired else rests}"),
        ("correlation of the pairs", number(c.correlation), "above 0, pairing narrows the interval"),
        ("sign-flip p", "-" if c.p_sign_flip is None else f"{c.p_sign_flip:.3g}", _sign_flip_note(c)),
    ]
    if c.family > 1:
        both = " to ".join(number(bound, places, sign=True) for bound in c.simultaneous or ()) or "-"
        rows += [
            ("corrected p", p_value(c.p_holm), f"Holm, over {c.family} comparisons"),
            ("interval for all together", both, f"holds for all {c.family} comparisons at once (Bonferroni)"),
            ("Dunnett's p", p_value(c.p_dunnett), "all against one control, unpaired, equal variances"),
        ]
    at = "the same seed" if c.paired else "any two seeds"
    rows.append(("chance to come out ahead", _share(c.superiority), f"of the first, at {at}"))
    margin = amount(settings.margin, settings)
    if settings.margin:
        corrected = f", corrected {p_value(c.p_equivalence_holm)}" if c.family > 1 else ""
        rows.append((f"equivalence within {margin}", f"{p_phrase(c.p_equivalence)}{corrected}", "two one-sided tests"))
    rows += [
        ("smallest margin that holds", number(c.within, places), "the two would be equivalent within this"),
        ("smallest difference found", number(c.detectable, places), "by this many seeds, in 80 of 100 sweeps"),
    ]
    if settings.margin:
        note = "in 80 of 100 sweeps; the range is the spread's own error"
        rows.append((f"seeds to find {margin}", _needed(c), note))
    return rows


def summary(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """A line a comparison, for more than one: what, difference, interval, p, corrected p, Dunnett's p, verdict."""
    lines = []
    for c in comparisons:
        places = places_of(c)
        bounds = f"{number(c.t.low, places, sign=True)} to {number(c.t.high, places, sign=True)}" if c.t else "-"
        what = f"{c.a.label} - {c.b.label}" + (f", {c.contrast.over}" if c.contrast.over else "")
        ps = [p_value(p) for p in (c.p, c.p_holm, c.p_dunnett)]
        lines.append([what, str(c.a.n), number(c.difference, places, sign=True), bounds, *ps, c.verdict])
    return lines


def _side(side: Side, settings: Settings) -> str:
    places = decimals(side.sd)
    percent = " %" if settings.metric.is_fraction else ""
    sd = f", sd {number(side.sd, places)}" if side.sd is not None else ""
    return f"{number(side.mean, places)}{percent}{sd}, n = {side.n}"


def _t(t: TTest | None, places: int) -> str:
    if t is None:
        return "-"
    return f"{number(t.low, places, sign=True)} to {number(t.high, places, sign=True)}, {p_phrase(t.p)}"


def _sign_flip_note(c: Comparison) -> str:
    if not c.paired:
        return "needs pairs"
    how = "exact" if c.a.n <= MAX_EXACT else "sampled"
    return f"{how}, assumes no shape; with {c.a.n} seeds never below {sign_flip_floor(c.a.n):.3g}"


def _share(share: Share) -> str:
    return f"{100 * share.value:.0f} %, {100 * share.low:.0f} to {100 * share.high:.0f} %"


def _needed(c: Comparison) -> str:
    if c.seeds_needed_range is None:
        return "-"
    needed, fewest, most = (str(n) if n else f"over {MAX_SEEDS:,}" for n in (c.seeds_needed, *c.seeds_needed_range))
    return f"about {needed} ({fewest} to {most})"
