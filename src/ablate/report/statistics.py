"""Two arms, a and b, compared over seeds. Plain numbers in, plain numbers out; no files, no words.

The unit of replication is the seed. Every test is two-sided unless it says otherwise; `level` is the confidence level,
0.95, and alpha = 1 - level. Below about 20 seeds bootstrap intervals are too short (they cover 75 % at three seeds), so
intervals over seeds are t intervals throughout.
"""

import bisect
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_ind, ttost_paired

Floats = NDArray[np.float64]

POWER = 0.8  # the chance, of the planned sweep, to find a difference that is there
MAX_SEEDS = 10_000  # the search for a number of seeds ends here
MAX_EXACT = 14  # seeds: up to here all 2^n sign flips are tried, beyond it 2^14 random ones
MAX_DUNNETT = 12  # comparisons; the integral behind more of them takes seconds
RESOLUTION = 1e-6  # relative: records hold float32 accuracies, so closer numbers are equal numbers


class TTest(NamedTuple):
    """Difference of means a - b, its t interval at the asked level and its p."""

    difference: float
    low: float
    high: float
    p: float
    df: float  # degrees of freedom


class Share(NamedTuple):
    """A probability with its interval."""

    value: float
    low: float
    high: float


def has_spread(differences: Floats, scale: float) -> bool:
    """Whether the differences vary by more than the rounding of metrics of size `scale`; without, no t test exists."""
    return len(differences) > 1 and float(np.ptp(differences)) > RESOLUTION * scale


def t_test(a: Floats, b: Floats, *, paired: bool, level: float) -> TTest:
    """Student's t on the differences, or Welch's on two groups. At least two values each, and some spread."""
    difference = float(a.mean() - b.mean())
    if paired:
        one = DescrStatsW(a - b)
        return TTest(difference, *map(float, (*one.tconfint_mean(1 - level), *one.ttest_mean(0)[1:])))
    two = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    interval = two.tconfint_diff(1 - level, usevar="unequal")
    return TTest(difference, *map(float, (*interval, *two.ttest_ind(usevar="unequal")[1:])))


def sign_flip_p(differences: Floats, scale: float, *, seed: int = 0) -> float:
    """P of a mean at least this far from 0 if every difference were as likely to have the other sign (Fisher 1935).

    Exact up to `MAX_EXACT` seeds, so never below 2 / 2^n. scipy.stats.permutation_test would count float32 noise as a
    difference and so break ties, of which few pictures make many.
    """
    n = len(differences)
    if n <= MAX_EXACT:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(2**MAX_EXACT, n), dtype=np.int8)
        bits[0] = 0  # the observed signs belong to the reference set, else p could be 0
    means = np.abs((1 - 2 * bits) @ differences) / n
    return float(np.mean(means >= abs(differences.mean()) - RESOLUTION * scale))


def sign_flip_floor(n: int) -> float:
    """The smallest p that the sign-flip test can give over n seeds: five can never show p < 0.05."""
    return 2.0 ** (1 - n if n <= MAX_EXACT else -MAX_EXACT)


def equivalence_p(a: Floats, b: Floats, margin: float, *, paired: bool) -> float:
    """P of two one-sided tests (Schuirmann 1987) against |difference| >= margin."""
    if paired:
        return float(ttost_paired(a, b, -margin, margin)[0])
    return float(ttost_ind(a, b, -margin, margin, usevar="unequal")[0])


def superiority(wins: float, ties: float, pairs: float, level: float) -> Share:
    """P(a beats b) + P(tie) / 2, from `pairs` independent meetings, with Clopper and Pearson's exact bounds.

    The lower bound counts ties as lost, the upper as won, so the interval is never too short. Between unpaired arms
    every run of a meets every run of b: give the shares times the smaller arm's size, the independent meetings.
    """
    alpha, lost = 1 - level, pairs - wins - ties
    low = stats.beta.ppf(alpha / 2, wins, pairs - wins + 1) if wins > 0 else 0.0
    high = stats.beta.ppf(1 - alpha / 2, wins + ties + 1, lost) if lost > 0 else 1.0
    return Share(float((wins + ties / 2) / pairs), float(low), float(high))


def paired_superiority(differences: Floats, scale: float, level: float) -> Share:
    tie = RESOLUTION * scale
    return superiority((differences > tie).sum(), (np.abs(differences) <= tie).sum(), len(differences), level)


def unpaired_superiority(a: Floats, b: Floats, scale: float, level: float) -> Share:
    tie = RESOLUTION * scale
    meetings = a[:, None] - b[None, :]
    pairs = min(len(a), len(b))
    return superiority((meetings > tie).mean() * pairs, (np.abs(meetings) <= tie).mean() * pairs, pairs, level)


def mean_interval(values: Floats, level: float) -> tuple[float, float] | None:
    """t interval of a mean; None below two values. Equal values give an interval of no width."""
    if len(values) < 2:
        return None
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def detectable(sd: float, n: int, *, paired: bool, level: float) -> float:
    """The difference that a t test over n seeds (an arm) finds with 80 % power. `sd`: of differences, or of an arm."""
    return sd * _detectable_effect(n, paired, level)


@cache  # the comparisons of a sweep have few numbers of seeds between them
def _detectable_effect(n: int, paired: bool, level: float) -> float:
    """In standard deviations."""
    high = 1.0
    while _power(high, n, paired, level) < POWER:
        high *= 2
    return float(brentq(lambda effect: _power(effect, n, paired, level) - POWER, 0, high))


def seeds_needed(sd: float, difference: float, *, paired: bool, level: float) -> int | None:
    """The fewest seeds (an arm) whose t test finds `difference` with 80 % power; None for more than `MAX_SEEDS`."""
    seeds = range(2, MAX_SEEDS + 1)
    place = bisect.bisect_left(seeds, POWER, key=lambda n: _power(difference / sd, n, paired, level))
    return seeds[place] if place < len(seeds) else None


def _power(effect: float, n: int, paired: bool, level: float) -> float:
    """Chance to find a difference of `effect` standard deviations."""
    power = float((TTestPower() if paired else TTestIndPower()).power(effect, n, 1 - level))
    return 1.0 if math.isnan(power) else power  # the noncentral t gives up where the power is nearly 1


def sd_interval(sd: float, df: int, level: float) -> tuple[float, float]:
    """Interval of a standard deviation, from chi-square: with three seeds it spans a factor of twelve."""
    low, high = stats.chi2.ppf(((1 + level) / 2, (1 - level) / 2), df)
    return sd * math.sqrt(df / low), sd * math.sqrt(df / high)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction over the tests that could be made."""
    made = [p for p in ps if p is not None]
    adjusted = iter(multipletests(made, method="holm")[1].tolist() if made else ())
    return [None if p is None else next(adjusted) for p in ps]


def dunnett_p(arms: Sequence[Floats], control: Floats) -> list[float] | None:
    """Dunnett's p for every arm against one control, unpaired, with one common variance; None if there is none."""
    groups = [*arms, control]
    scale = max(float(np.abs(group).max(initial=0)) for group in groups)
    if not 2 <= len(arms) <= MAX_DUNNETT or any(len(group) < 2 for group in groups):
        return None
    if not any(has_spread(group, scale) for group in groups):
        return None
    result = stats.dunnett(*arms, control=control, rng=np.random.default_rng(0))
    return [float(p) for p in result.pvalue]
