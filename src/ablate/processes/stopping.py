"""Ctrl-C and SIGTERM: the first ends a training at its next batch, with a checkpoint; the second ends it at once."""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):  # noqa: N818 (no error: it was asked for)
    """The training ends here, by a signal; what can go on from here is saved."""


class StoppedAtOnce(BaseException):  # passes whatever only means to catch errors
    """The run ends wherever it is, by a signal."""


class Stopping:
    """While its `with` block lasts, the two signals are its own; afterwards they do what they did before.

    Lightning's handlers are not good enough: after SIGTERM it exits with code 0, after Ctrl-C it ignores the signal for
    the rest of the process. In a thread other than the main one, where signals cannot be handled, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the first signal
        self.waits = False  # for a batch to end; else the first signal, too, ends the run at once
        self.is_deaf = False  # the end is near, and is not to be disturbed
        self._owner = os.getpid()  # forked workers of a loader inherit the handlers, and are not meant
        self._before: dict[int, Any] = {}

    @property
    def is_asked(self) -> bool:
        return self.received is not None

    @property
    def name(self) -> str:
        return signal.Signals(self.received).name if self.received is not None else "a signal"

    def take_signals(self) -> None:
        """Handle the signals from here on, whoever did before."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.take_signals()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ValueError):  # not the main thread
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner or self.is_deaf:
            return
        again = self.is_asked
        self.received = self.received or number
        if again or not self.waits:
            raise StoppedAtOnce
