"""What the arms say picture by picture, from `predictions.npz`.

A comparison over seeds speaks of new trainings, tested on these very pictures. Here are the statements about pictures:
how often the arms agree, which pictures they differ on, and what to expect on new pictures.

S shared seeds, N test pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from ablate.report.arms import Arm

NUM_RESAMPLES = 1_000
NUM_RELABELLINGS = 64
NUM_SHOWN = 12


@dataclass(frozen=True)
class PairOfRuns:
    """The two networks of one seed: pictures that only one of them gets right, and McNemar's exact p."""

    seed: int
    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class Picture:
    """A test picture, by its place in the test set; in how many of the seeds each arm is right, and what it says."""

    index: int
    label: int
    right_a: int
    right_b: int
    says_a: int  # the class most often predicted
    says_b: int


@dataclass(frozen=True)
class Pictures:
    """Differences in points of test accuracy, a - b."""

    arm_a: Arm
    arm_b: Arm
    seeds: tuple[int, ...]
    num_pictures: int
    agreement: float  # share of pictures that both arms, at the same seed, give the same class
    agreement_between_seeds: float | None  # the same within an arm, between neighbouring seeds
    pairs_of_runs: tuple[PairOfRuns, ...]
    difference: float
    interval: tuple[float, float] | None  # for new seeds and new pictures
    most_different: tuple[Picture, ...]
    num_as_different: int  # pictures at least as different as the last of these
    num_by_chance: float | None  # the same, on average, if the arms' names are exchanged at random seed by seed


def compare_pictures(a: Arm, b: Arm, level: float) -> Pictures | None:
    """None unless there are predictions of both arms, at a shared seed, of the same pictures."""
    runs_a, runs_b = ({run.record.seed: run for run in arm.runs} for arm in (a, b))
    found = [
        (seed, of_a, of_b)
        for seed in sorted(set(runs_a) & set(runs_b))
        if (of_a := runs_a[seed].predictions()) and (of_b := runs_b[seed].predictions())
    ]
    label = found[0][1].label if found else np.zeros(0, np.int32)
    same = [
        (seed, of_a, of_b)
        for seed, of_a, of_b in found
        if np.array_equal(label, of_a.label) and np.array_equal(label, of_b.label)
    ]
    if not len(label) or not same:
        return None
    seeds = tuple(seed for seed, _, _ in same)
    said_a = np.stack([of_a.predicted for _, of_a, _ in same])  # (S, N)
    said_b = np.stack([of_b.predicted for _, _, of_b in same])
    right_a, right_b = said_a == label, said_b == label
    difference = right_a.astype(np.int8) - right_b.astype(np.int8)
    between = [said[1:] == said[:-1] for said in (said_a, said_b)]
    shown = _most_different(difference)
    threshold = abs(int(difference[:, shown[-1]].sum(dtype=np.int64))) if shown else 0
    return Pictures(
        arm_a=a,
        arm_b=b,
        seeds=seeds,
        num_pictures=len(label),
        agreement=float((said_a == said_b).mean()),
        agreement_between_seeds=float(np.mean(between)) if len(seeds) > 1 else None,
        pairs_of_runs=tuple(_mcnemar(seed, row) for seed, row in zip(seeds, difference, strict=True)),
        difference=100 * float(difference.mean()),
        interval=new_pictures_interval(difference, level) if len(seeds) > 1 else None,
        most_different=tuple(
            Picture(
                int(i),
                int(label[i]),
                int(right_a[:, i].sum()),
                int(right_b[:, i].sum()),
                _most_common(said_a[:, i]),
                _most_common(said_b[:, i]),
            )
            for i in shown
        ),
        num_as_different=int((np.abs(difference.sum(axis=0, dtype=np.int64)) >= threshold).sum()) if shown else 0,
        num_by_chance=_num_by_chance(difference, threshold) if shown else None,
    )


def new_pictures_interval(difference: NDArray[np.int8], level: float, seed: int = 0) -> tuple[float, float] | None:
    """Interval, in points, for the mean of `difference` (S, N) over new seeds and new pictures, both drawn anew.

    Its variance is that of a bootstrap over seeds x pictures. S - 1 of the S seeds are drawn, which makes the seeds'
    part unbiased. The interplay of seeds and pictures is then counted three times (Owen 2007); twice is taken out. The
    quantile is t's with Satterthwaite's degrees of freedom: percentiles would cover 75 % at three seeds. None if
    the arms differ on no picture, or alike on all.
    """
    if not np.ptp(difference):
        return None
    num_seeds, num_pictures = difference.shape
    by_seed, by_picture = difference.mean(axis=1, keepdims=True), difference.mean(axis=0, keepdims=True)
    mean = float(by_seed.mean())
    interplay = float(((difference - by_seed - by_picture + mean) ** 2).mean()) / ((num_seeds - 1) * num_pictures)
    from_seeds = float(by_seed.var(ddof=1)) / num_seeds
    variance = max(_bootstrap_variance(difference, seed) - 2 * interplay, from_seeds, interplay)
    df = variance**2 / (from_seeds**2 / (num_seeds - 1) + (variance - from_seeds) ** 2 / (num_pictures - 1))
    half = float(stats.t.ppf((1 + level) / 2, df)) * math.sqrt(variance)
    return 100 * (mean - half), 100 * (mean + half)


def _bootstrap_variance(difference: NDArray[np.int8], seed: int) -> float:
    num_seeds, num_pictures = difference.shape
    rng = np.random.default_rng(seed)
    # Pictures with the same column are interchangeable, and most columns are zero: draw how often each kind comes.
    kinds, counts = np.unique(difference, axis=1, return_counts=True)
    seeds = rng.multinomial(num_seeds - 1, np.full(num_seeds, 1 / num_seeds), size=NUM_RESAMPLES) / (num_seeds - 1)
    pictures = rng.multinomial(num_pictures, counts / num_pictures, size=NUM_RESAMPLES) / num_pictures
    by_kind = seeds.astype(np.float32) @ kinds.astype(np.float32)
    return float((by_kind * pictures).sum(axis=1).var())


def _mcnemar(seed: int, row: NDArray[np.int8]) -> PairOfRuns:
    only_a, only_b = int((row > 0).sum()), int((row < 0).sum())
    return PairOfRuns(seed, only_a, only_b, float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue))


def _most_different(difference: NDArray[np.int8]) -> Sequence[int]:
    """Indices of the pictures on which the arms differ in the most seeds, in either direction; the first of equals."""
    apart = np.abs(difference.sum(axis=0, dtype=np.int64))
    return [int(i) for i in np.argsort(-apart, kind="stable")[:NUM_SHOWN] if apart[i]]


def _num_by_chance(difference: NDArray[np.int8], threshold: int) -> float | None:
    """Exchanging the arms' names at a seed changes the sign of its row. Some pictures always differ by chance."""
    num_seeds = len(difference)
    if num_seeds < 2:
        return None
    if num_seeds <= math.log2(NUM_RELABELLINGS) + 1:
        bits = (np.arange(1, 2 ** (num_seeds - 1))[:, None] >> np.arange(num_seeds)) & 1  # all but the names given
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(NUM_RELABELLINGS, num_seeds))
    sums = (1 - 2 * bits).astype(np.float32) @ difference.astype(np.float32)
    return float((np.abs(sums) >= threshold).sum(axis=1).mean())


def _most_common(values: NDArray[np.int32]) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])
