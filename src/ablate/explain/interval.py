"""A mean and how far it could be luck."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats


class Interval(NamedTuple):
    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def mean_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The mean of independent values (n,), n >= 2, with Student's t interval."""
    given = np.asarray(values, dtype=np.float64)
    assert given.ndim == 1, given.shape
    assert len(given) >= 2, "one value has no spread"
    mean = float(given.mean())
    half = float(stats.t.ppf((1 + level) / 2, len(given) - 1) * stats.sem(given))
    return Interval(mean, mean - half, mean + half, len(given))
