"""From two sets of values to a verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ablate.report import statistics
from ablate.report.arms import Contrast
from ablate.report.metric import Metric
from ablate.report.statistics import Floats, Share, TTest

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class Settings:
    """What the reader chose. `margin`, in the metric's unit: a smaller difference would not matter; None: not given."""

    metric: Metric
    margin: float | None
    level: float

    @property
    def alpha(self) -> float:
        return 1 - self.level


@dataclass(frozen=True)
class Side:
    """The values of one arm that the comparison rests on. One value has no `sd`."""

    label: str
    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Comparison:
    """a against b, in the report's unit. What could not be computed is None, and `reason` says why."""

    contrast: Contrast
    paired: bool
    seeds: tuple[int, ...]  # shared
    differences: tuple[float, ...]  # a - b, by shared seed
    a: Side
    b: Side
    difference: float
    superiority: Share
    correlation: float | None  # of a and b over the shared seeds
    t_paired: TTest | None
    t_welch: TTest | None
    p_sign_flip: float | None  # of paired differences
    family: int  # comparisons that are corrected together
    reason: str = ""

    sd: float | None = None  # of the differences if paired, else of an arm (pooled)
    simultaneous: tuple[float, float] | None = None  # holds for all comparisons of the family together (Bonferroni)
    within: float | None = None  # the smallest margin within which the arms would be equivalent
    detectable: float | None = None  # the difference that this many seeds find with 80 % power
    seeds_needed: int | None = None  # to find the margin with 80 % power; None also for more than MAX_SEEDS
    seeds_needed_range: tuple[int | None, int | None] | None = None  # over the interval of `sd`
    p_equivalence: float | None = None

    p_holm: float | None = None
    p_equivalence_holm: float | None = None
    p_dunnett: float | None = None
    verdict: Verdict = "inconclusive"

    @property
    def t(self) -> TTest | None:
        """The test that counts."""
        return self.t_paired if self.paired else self.t_welch

    @property
    def p(self) -> float | None:
        """Of the test that counts; where all paired differences are equal only the sign-flip test exists."""
        return self.t.p if self.t else self.p_sign_flip


def compare_all(contrasts: Sequence[Contrast], settings: Settings, *, control: bool = False) -> list[Comparison]:
    """One family of comparisons, corrected together. `control`: all have the same b, so Dunnett's test applies."""
    found = [_compare(contrast, settings, len(contrasts)) for contrast in contrasts]
    p_holm = statistics.holm([each.p for each in found])
    p_equivalence = statistics.holm([each.p_equivalence for each in found])
    p_dunnett: Sequence[float | None] = [None] * len(found)
    if control and found:
        arms = [_array(contrast.values_a) for contrast in contrasts]
        p_dunnett = statistics.dunnett_p(arms, _array(contrasts[0].values_b)) or p_dunnett
    return [
        replace(
            each,
            p_holm=p_holm[i],
            p_equivalence_holm=p_equivalence[i],
            p_dunnett=p_dunnett[i],
            verdict=judge(each.difference, p_holm[i], p_equivalence[i], settings),
        )
        for i, each in enumerate(found)
    ]


def judge(difference: float, p: float | None, p_equivalence: float | None, settings: Settings) -> Verdict:
    """Equivalence comes first: with enough seeds every difference is significant; the margin says which matter."""
    if p_equivalence is not None and p_equivalence <= settings.alpha:
        return "equivalent"
    if p is not None and p <= settings.alpha:
        return "better" if (difference > 0) == settings.metric.higher_is_better else "worse"
    return "inconclusive"


def choose_pairs(values_a: Mapping[int, float], values_b: Mapping[int, float]) -> tuple[bool, list[int]]:
    """Whether to pair, and the shared seeds. Decided by the seeds alone, never by the values.

    Paired, if every run has a partner; or if half of either arm's runs have one, and at least three do. Fewer pairs
    know less than all the runs in two groups.
    """
    shared = sorted(set(values_a) & set(values_b))
    num_runs = max(len(values_a), len(values_b))
    complete = len(shared) == len(values_a) == len(values_b)
    return len(shared) >= 2 and (complete or (len(shared) >= 3 and 2 * len(shared) >= num_runs)), shared


def _compare(contrast: Contrast, settings: Settings, family: int) -> Comparison:
    paired, shared = choose_pairs(contrast.values_a, contrast.values_b)
    all_a, all_b = _array(contrast.values_a), _array(contrast.values_b)
    shared_a, shared_b = (np.array([v[seed] for seed in shared]) for v in (contrast.values_a, contrast.values_b))
    a, b = (shared_a, shared_b) if paired else (all_a, all_b)
    differences = shared_a - shared_b
    level, scale = settings.level, float(max(np.abs(all_a).max(), np.abs(all_b).max()))

    def varies(values: Floats) -> bool:
        return statistics.has_spread(values, scale)

    welch = min(len(all_a), len(all_b)) > 1 and (varies(all_a) or varies(all_b))
    correlated = len(shared) > 2 and varies(shared_a) and varies(shared_b)
    result = Comparison(
        contrast=contrast,
        paired=paired,
        seeds=tuple(shared),
        differences=tuple(differences.tolist()),
        a=_side(contrast.a, a),
        b=_side(contrast.b, b),
        difference=float(a.mean() - b.mean()),
        superiority=(
            statistics.paired_superiority(differences, scale, level)
            if paired
            else statistics.unpaired_superiority(a, b, scale, level)
        ),
        correlation=float(np.corrcoef(shared_a, shared_b)[0, 1]) if correlated else None,
        t_paired=statistics.t_test(shared_a, shared_b, paired=True, level=level) if varies(differences) else None,
        t_welch=statistics.t_test(all_a, all_b, paired=False, level=level) if welch else None,
        p_sign_flip=statistics.sign_flip_p(differences, scale) if paired else None,
        family=family,
    )
    if result.t is None:
        return replace(result, reason=_why_no_interval(result, scale))
    return _with_error_bar(result, a, b, settings)


def _with_error_bar(result: Comparison, a: Floats, b: Floats, settings: Settings) -> Comparison:
    """Everything that rests on an estimate of the spread. Of a family each gets its share of alpha (Bonferroni)."""
    t = result.t
    assert t is not None, "the caller looked"
    paired, margin, alpha = result.paired, settings.margin, settings.alpha / result.family
    sd = float((a - b).std(ddof=1)) if paired else math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    together = statistics.t_test(a, b, paired=paired, level=1 - alpha)
    one_sided = statistics.t_test(a, b, paired=paired, level=1 - 2 * alpha)
    # Unequal arms know as much as two equal ones of the harmonic mean's size.
    size = len(a) if paired else max(2, round(2 / (1 / len(a) + 1 / len(b))))
    result = replace(
        result,
        sd=sd,
        simultaneous=(together.low, together.high),
        within=max(abs(one_sided.low), abs(one_sided.high)),
        detectable=statistics.detectable(sd, size, paired=paired, level=1 - alpha),
    )
    if not margin:
        return result
    sds = (sd, *statistics.sd_interval(sd, max(1, round(t.df)), settings.level))
    needed, fewest, most = (statistics.seeds_needed(each, margin, paired=paired, level=1 - alpha) for each in sds)
    return replace(
        result,
        p_equivalence=statistics.equivalence_p(a, b, margin, paired=paired),
        seeds_needed=needed,
        seeds_needed_range=(fewest, most),
    )


def _why_no_interval(result: Comparison, scale: float) -> str:
    if min(result.a.n, result.b.n) < 2:
        return "one run has no spread, so there is no interval; repeat with seed=0,1,2,3,4"
    if not result.paired:
        return "no two runs of a variant differ, so there is no interval"
    if max(map(abs, result.differences)) <= statistics.RESOLUTION * scale:
        return "every pair gave the same result: did the change reach the training?"
    return "all differences are equal, so there is no interval and the sign-flip test decides"


def _side(label: str, values: Floats) -> Side:
    return Side(label, len(values), float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)


def _array(values: Mapping[int, float]) -> Floats:
    return np.array([values[seed] for seed in sorted(values)], dtype=np.float64)
