"""Runs of a sweep in processes of their own, as many at once as there are slots.

A run that ends in any way, even a hard one, frees its slot for the next. Nothing of a run stays behind: not its
random state, flags or memory, and none of the processes that it started.
"""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Protocol

from ablate.sweep.slots import Slot

TICK = 0.5  # seconds between two looks at the progress


@dataclass(frozen=True)
class Job:
    """One run. `words`: the command of this run alone, folder included."""

    name: str
    folder: str
    words: tuple[str, ...]


class Start(Protocol):
    """Starts a process that leads a process group of its own."""

    def __call__(self, job: Job, slot: Slot) -> BaseProcess: ...


class Watcher(Protocol):
    """Is told what happens; nothing that it does holds up the next run."""

    def started(self, job: Job) -> None: ...

    def ended(self, job: Job, exit_code: int) -> str:
        """The status that the run has come to: done, failed, interrupted or diverged."""

    def changed(self) -> None:
        """After every start or end, once the free slots are taken again."""

    def tick(self) -> None:
        """Whenever nothing has ended for a moment."""


@dataclass
class Pool:
    """`retries`: how often a failed run is tried again. `stop_on_failure`: the first failure ends the others too.

    `received`: the signals that have come. The first stops the runs at their next batch, the second at once.
    """

    slots: Sequence[Slot]
    start: Start
    watcher: Watcher
    retries: int = 0
    stop_on_failure: bool = False
    received: list[int] = field(default_factory=list)
    _running: dict[int, tuple[BaseProcess, Job, Slot]] = field(default_factory=dict)  # by sentinel
    _stopping: bool = False

    def run(self, jobs: Iterable[Job]) -> None:
        """Until all jobs have ended, or those that were running when a signal came."""
        queue, free = deque(jobs), deque(self.slots)
        tries: dict[str, int] = {}
        with self._signals():
            try:
                while self._running or (queue and not self._stopping):
                    while queue and free and not self._stopping:
                        self._begin(queue.popleft(), free.popleft())
                    self.watcher.changed()
                    for job, slot, status in self._ended():
                        free.append(slot)
                        tries[job.name] = tries.get(job.name, 0) + 1
                        if status == "failed" and tries[job.name] <= self.retries and not self._stopping:
                            queue.append(job)
                        elif status in ("failed", "diverged") and self.stop_on_failure:
                            self._stop()
            finally:
                for process, _, _ in self._running.values():
                    _kill_group(process)
        self.watcher.changed()

    def _begin(self, job: Job, slot: Slot) -> None:
        process = self.start(job, slot)
        self._running[process.sentinel] = (process, job, slot)
        self.watcher.started(job)
        if self._stopping:  # the signal came while the process was being started
            self._stop(at_once=len(self.received) > 1)

    def _ended(self) -> Iterator[tuple[Job, Slot, str]]:
        """Those that have ended; waits for the first one."""
        while self._running:
            ready = wait(list(self._running), timeout=TICK)
            if not ready:  # else a free slot would wait for what a tick does
                self.watcher.tick()
            for sentinel in ready:
                assert isinstance(sentinel, int)
                process, job, slot = self._running.pop(sentinel)
                process.join()
                _kill_group(process)  # what it may have left: loader workers, further ranks
                code = process.exitcode
                process.close()
                yield job, slot, self.watcher.ended(job, code if code is not None else 1)
            if ready:
                return

    def _stop(self, *, at_once: bool = False) -> None:
        self._stopping = True
        for process, _, _ in self._running.values():
            if at_once:
                _kill_group(process)
            elif process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def receive(number: int, _frame: FrameType | None) -> None:
            self.received.append(number)
            self._stop(at_once=len(self.received) > 1)

        before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _kill_group(process: BaseProcess) -> None:
    """End a process and all that it has started."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        if process.is_alive():  # too young to lead a group
            process.kill()
    except PermissionError:
        pass


def in_words(exit_code: int) -> str:
    """How a process ended that did not say so itself."""
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code} and no word"
    name = signal.Signals(-exit_code).name if -exit_code in {each.value for each in signal.Signals} else "unknown"
    more = "; the kernel does this when memory runs out" if exit_code == -signal.SIGKILL else ""
    return f"its process was ended by signal {-exit_code} ({name}{more})"
