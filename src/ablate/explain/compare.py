"""The same pictures in different networks, and how much of a difference is noise.  N pictures, R runs.

Two trainings that differ in their seed alone look at different places. So before a difference between variants means
anything it has to be larger than the difference between seeds: that is the noise floor.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ablate.explain.cascade import rank_correlation
from ablate.explain.interval import Interval, mean_interval
from ablate.explain.pointing import upsampled

FloatArray = npt.NDArray[np.float32]

NUM_RELABELLINGS = 2000  # above it a random sample of all
SURE = 0.05  # p value


@dataclass(frozen=True)
class Arm:
    """What tells two runs apart."""

    variant: str
    seed: int


@dataclass(frozen=True)
class NoiseFloor:
    """Mean rank correlation of maps, over pictures and pairs of runs; None where there is no such pair.

    `seeds`: between runs of one variant. `variants`: between runs of different variants, of different seeds as well,
    so that the two are alike but for the variant. `p`: how often variants drawn by lot, within each seed, would be as
    much further apart than seeds as these are.
    """

    num_pictures: int
    num_runs: int
    seeds: Interval | None
    variants: Interval | None
    p: float | None

    @property
    def verdict(self) -> str:
        if self.seeds is None:
            return (
                "No variant has two seeds, so there is no noise floor: two networks that differ in their seed alone "
                "look at different places too, and what differs here may be nothing else."
            )
        floor = f"Maps of one variant under different seeds have a rank correlation of {self.seeds}: the noise floor."
        if self.variants is None or self.p is None:
            return f"{floor} There are no two variants under different seeds to hold against it."
        found = f"Between variants it is {self.variants}."
        if self.p <= SURE:
            return f"{floor} {found} The variants differ more than seeds do (p = {self.p:.3f})."
        return f"{floor} {found} That may be chance (p = {self.p:.2f}): read no difference into the pictures."


def noise_floor(maps: Sequence[FloatArray], arms: Sequence[Arm], seed: int = 0) -> NoiseFloor:
    """`maps[r]` (N, h, w), N >= 2: the un-rectified maps of run r for the same pictures and classes."""
    correlation = _correlations(maps)  # (N, R, R)
    variants, seeds = (np.array([str(getattr(arm, what)) for arm in arms]) for what in ("variant", "seed"))
    other_seed = np.triu(seeds[:, None] != seeds[None, :])

    def between(labels: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        same = labels[:, None] == labels[None, :]
        return same & other_seed, ~same & other_seed

    within, across = between(variants)
    of_seeds = mean_interval(correlation[:, within].mean(axis=1)) if within.any() else None
    of_variants = mean_interval(correlation[:, across].mean(axis=1)) if across.any() else None
    p = None
    if of_seeds is not None and of_variants is not None:
        mean = correlation.mean(axis=0)
        gaps = []
        for labels in _relabellings(variants, seeds, seed):
            one, other = between(labels)
            gaps.append(mean[one].mean() - mean[other].mean() if one.any() and other.any() else -np.inf)
        observed = mean[within].mean() - mean[across].mean()
        p = float(np.mean(np.array(gaps) >= observed - 1e-12))
    return NoiseFloor(len(correlation), len(arms), of_seeds, of_variants, p)


def _correlations(maps: Sequence[FloatArray]) -> npt.NDArray[np.float64]:
    """(N, R, R), symmetric; maps of different sizes are enlarged to the largest."""
    size = (max(each.shape[1] for each in maps), max(each.shape[2] for each in maps))
    alike = [each if each.shape[1:] == size else upsampled(each, size) for each in maps]
    found = np.ones((len(maps[0]), len(maps), len(maps)))
    for i, j in itertools.combinations(range(len(maps)), 2):
        found[:, i, j] = found[:, j, i] = rank_correlation(alike[i], alike[j])
    return found


def _relabellings(variants: npt.NDArray[np.str_], seeds: npt.NDArray[np.str_], seed: int) -> list[npt.NDArray[np.str_]]:
    """The variants exchanged within every seed: all ways, or the given one and a random sample."""
    groups = [np.flatnonzero(seeds == each) for each in np.unique(seeds)]
    if math.prod(math.factorial(len(group)) for group in groups) <= NUM_RELABELLINGS:
        ways = [list(itertools.permutations(variants[group].tolist())) for group in groups]
        return [_assigned(variants, groups, choice) for choice in itertools.product(*ways)]
    rng = np.random.default_rng(seed)
    draws = ([rng.permutation(variants[group]) for group in groups] for _ in range(NUM_RELABELLINGS))
    return [variants, *(_assigned(variants, groups, choice) for choice in draws)]


def _assigned(
    variants: npt.NDArray[np.str_], groups: Sequence[npt.NDArray[np.int64]], choice: Sequence[npt.ArrayLike]
) -> npt.NDArray[np.str_]:
    result = variants.copy()
    for group, labels in zip(groups, choice, strict=True):
        result[group] = labels
    return result
