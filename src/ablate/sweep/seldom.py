"""Work that keeps files up to date while a sweep goes on, and takes longer the more runs there are."""

import time
from collections.abc import Callable

SHARE = 0.05  # of the time: without a bound, writing about every run after every run is quadratic in the runs


class Seldom:
    """Does some work after it has become `due`, but never for more than a twentieth of the time.

    Ten runs have their report a moment after each end; ten thousand, whose report takes half a minute, every ten
    minutes. The work is never forgotten: `attempt` is to be called again and again.
    """

    def __init__(self, work: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._clock = work, clock
        self._due, self._not_before = False, -1e9

    def due(self) -> None:
        self._due = True

    def attempt(self) -> None:
        """Do it, if it is due and its time has come."""
        begun = self._clock()
        if not self._due or begun < self._not_before:
            return
        self._due = False
        self._work()
        ended = self._clock()
        self._not_before = ended + (ended - begun) * (1 / SHARE - 1)
