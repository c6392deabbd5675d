"""Loops that take turns on one machine, each in a process of its own, so that they meet the same seconds of it.

A virtual machine that drifts by a third within minutes drifts little within a second. So one loop works on a batch
while the others sleep in a read from their pipe, then the next one does; batch by batch their times are pairs. A loop
calls `at_batch` where a batch begins, and does no more for it.
"""

import multiprocessing
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

GO, END = "go", "end"


class Over(SystemExit):
    """In a loop: its turns have been taken, or whoever gave them is gone."""


@dataclass
class Taken:
    """What came of a loop: the seconds of each batch that counts, and what its function returned."""

    seconds: list[float] = field(default_factory=list)
    returned: Any = None

    def typical(self, period: int = 1) -> float:
        """Seconds a batch, of a loop that does the same again every `period` batches: the mean over the places in a
        period of the median at each.

        What comes at its place every time counts; what the machine did meanwhile, now here and now there, does not.
        """
        return statistics.fmean(statistics.median(self.seconds[place::period]) for place in range(period))


def take_turns(loops: Mapping[str, Callable[[], Any]], batches: int, warm_up: int) -> dict[str, Taken]:
    """Each of `loops` (functions that another process can import) for so many batches, in turns of one.

    Nothing is counted until all have come to their first batch, nor in the first `warm_up` turns; nor what follows the
    last turn: each loop is ended in its next `at_batch`, by an exception, while the others do nothing. The turns go
    A B C, B C A, C A B: each is as often the first, and none follows itself. Raises `RuntimeError`, with its traceback,
    for a loop that fails or ends before that.
    """
    with ExitStack() as stack:
        players = [stack.enter_context(_Player(name, loop)) for name, loop in loops.items()]
        for player in players:
            player.wait()
        taken = {name: Taken() for name in loops}
        for turn in range(warm_up + batches):
            first = turn % len(players)
            for player in players[first:] + players[:first]:
                player.say(GO)
                seconds = player.wait()
                if turn >= warm_up:
                    taken[player.name].seconds.append(seconds)
        for player in players:
            player.say(END)
            taken[player.name].returned = player.wait()
        return taken


class _Player:
    """A loop's process, seen from the one that gives the turns."""

    def __init__(self, name: str, loop: Callable[[], Any]) -> None:
        self.name = name
        context = multiprocessing.get_context("forkserver")  # nothing of this process's threads
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_play, args=(theirs, loop), name=name)
        self._process.start()
        theirs.close()  # so that its death is the end of this pipe

    def say(self, word: str) -> None:
        with suppress(ConnectionError):  # if it is dead, `wait` says so
            self._pipe.send(word)

    def wait(self) -> Any:
        """What it says next: the seconds of a batch; what the loop returned."""
        try:
            said, trouble = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            said, trouble = None, f"ended with exit code {self._process.exitcode}"
        if trouble:
            raise RuntimeError(f"the loop {self.name!r} {trouble}")
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it has said its last word, or is to say none; it may be deaf to anything else
        self._pipe.close()
        self._process.join()
        self._process.close()


class _Turn:
    """In a loop's process: whose turn it is."""

    def __init__(self, pipe: Connection) -> None:
        self.is_over = False
        self._pipe, self._begun = pipe, time.perf_counter()

    def at_batch(self) -> None:
        try:
            self._pipe.send((time.perf_counter() - self._begun, None))
            self.is_over = self._pipe.recv() == END
        except (EOFError, ConnectionError):  # whoever gives the turns is gone
            raise Over from None
        if self.is_over:
            raise Over
        self._begun = time.perf_counter()


_turn: _Turn | None = None


def at_batch() -> None:
    """Where a batch begins: hands the turn on, and waits for it. Nothing where no turns are taken."""
    if _turn is not None:
        _turn.at_batch()


def _play(pipe: Connection, loop: Callable[[], Any]) -> None:
    global _turn
    _turn = _Turn(pipe)
    returned, trouble = None, None
    try:
        with suppress(Over):
            returned = loop()
    except Exception:
        trouble = f"failed:\n{traceback.format_exc()}"
    if trouble is None and not _turn.is_over:
        trouble = "ended before its turns were over"
    with suppress(ConnectionError):  # nobody listens any more
        pipe.send((returned, trouble))
