"""The table of a benchmark: what, ours, theirs, ratio, spread, target, met or not."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEAD = ("what", "ours", "theirs", "ratio (95 %)", "quartiles, n", "target", "met")


@dataclass(frozen=True)
class Row:
    """One comparison; `ours` and `theirs` by round, so that what both met in the same minute cancels in the ratio.

    Without `theirs` the target is on `ours`; without `ours` nothing was measured. One of `at_most` and `at_least`.
    """

    what: str
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def values(self) -> list[float]:
        """What is held against the target, by round."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)] if self.theirs else list(self.ours)

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None where there is no number or no target."""
        if not self.ours or self.at_most is self.at_least is None:
            return None
        middle = statistics.median(self.values)
        return middle <= self.at_most if self.at_most is not None else middle >= (self.at_least or 0.0)

    def cells(self) -> tuple[str, ...]:
        unit = "" if self.theirs else f" {self.unit}"
        target = f"<= {_short(self.at_most)}{unit}" if self.at_most is not None else "-"
        if self.at_least is not None:
            target = f">= {_short(self.at_least)}{unit}"
        if not self.ours:
            return (self.what, "not yet measured", "", "", "", target, "")
        ours, theirs = (f"{_short(statistics.median(v))} {self.unit}" if v else "-" for v in (self.ours, self.theirs))
        ratio = _with_interval(self.values) if self.theirs else "-"
        verdict = {True: "yes", False: "NO", None: "-"}[self.met]
        return (self.what, ours.strip(), theirs.strip(), ratio, spread(self.values), target, verdict)


def spread(values: Sequence[float]) -> str:
    """First to third quartile, and n; nothing but n where there are too few for quartiles."""
    if len(values) < 3:
        return f"n={len(values)}"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{_short(low)} - {_short(high)}, n={len(values)}"


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The median's 95 % interval, whatever the distribution; None for fewer than six values.

    Each value lies below the true median by the toss of a coin, so that ranks come from a binomial distribution. It
    takes the values as independent: a drift that lasts for several of them makes it too narrow.
    """
    ordered, n = sorted(values), len(values)
    rank, chance = 0, 0.5**n  # that at most `rank` values lie below
    while chance <= 0.025:
        rank += 1
        chance += math.comb(n, rank) * 0.5**n
    return (ordered[rank - 1], ordered[n - rank]) if rank else None


def markdown(rows: Iterable[Row]) -> str:
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def write(rows: Iterable[Row], path: Path, conditions: str) -> None:
    """The rows with all their rounds, and what they were measured on."""
    content = {"conditions": conditions, "rows": [{**asdict(row), "met": row.met} for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _with_interval(values: Sequence[float]) -> str:
    interval = median_interval(values)
    middle = f"{statistics.median(values):.3f}"
    return f"{middle} ({interval[0]:.3f} - {interval[1]:.3f})" if interval else middle


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
