"""A run that several processes share ends when one of them does, and says why.

A process that waits for another one in a collective operation may do so for half an hour, or for ever. So a thread of
the first process looks after the others, and a thread of each other one looks after the first.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

import psutil  # type: ignore[import-untyped]
import pytorch_lightning as pl
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from ablate import environment
from ablate.processes.stopping import SIGNALS, StoppedAtOnce, Stopping
from ablate.ranks.company import Company
from ablate.record import PART, write_atomically
from ablate.trouble import is_of_the_connection

TICK = 0.2  # seconds between two looks
NOTICE = 3.0  # seconds between a broken connection and the end of the process at its other side, at most
GRACE = 5.0  # seconds that the training has to end by itself, once a process is lost
PATIENCE = 15.0  # the same after a signal
FIRST = "ABLATE_FIRST_PROCESS"  # its pid, for the processes that it starts
End = Callable[[str, str], None]  # status, reason: writes the last words of a run whose training is stuck


class RankLostError(RuntimeError):
    """Another process of the run has ended before its time, and this one cannot go on alone."""


class Watched(Protocol):
    """A process with another rank."""

    @property
    def rank(self) -> int: ...

    def fate(self) -> str | None:
        """How it has ended before its time, as the rest of a sentence; None if it has not."""


@dataclass(frozen=True)
class Child:
    """Started by this process."""

    rank: int
    process: subprocess.Popen[Any]

    def fate(self) -> str | None:
        code = self.process.poll()
        if not code:
            return None
        if code > 0:
            return f"ended with exit code {code} and no word; its log is train_ddp_process_{self.rank}.log"
        name = signal.Signals(-code).name
        return f"was ended by {name}{'; the kernel does this when memory runs out' if name == 'SIGKILL' else ''}"


class Neighbour:
    """On this machine, started by a launcher, which knows its exit code and tells nobody."""

    def __init__(self, rank: int, pid: int) -> None:
        self.rank = rank
        try:
            self._process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._process = None

    def fate(self) -> str | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._process and self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                return None
        return "was ended from outside; the kernel does this when memory runs out"


class Guard:
    """For the first process, around training and test. A lost process turns whatever ends them into a `RankLostError`;
    if nothing ends them, because they are stuck, `end` is called and the process left, with exit code 1.
    """

    def __init__(
        self, trainer: pl.Trainer, company: Company | None, folder: Path, stopping: Stopping, end: End
    ) -> None:
        self._stopping = stopping
        self._launcher: Any = unobserved(trainer)
        self._neighbours = neighbours(company)
        self._folder, self._end = folder, end
        self._ending, self._over = threading.Lock(), threading.Event()
        self._signals, self._written = socket.socketpair()
        self._before: int | None = None
        self._thread = threading.Thread(target=self._watch, name="guard", daemon=True)

    def __enter__(self) -> Self:
        os.environ[FIRST] = str(os.getpid())
        self._written.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            # A handler in Python waits for a kernel or a collective to return; this does not.
            self._before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.is_deaf = True  # a launcher that has lost one process sends its signal to the others
        self._ending.acquire()  # for good: from here on this thread ends the run
        self._over.set()
        if self._before is not None:
            signal.set_wakeup_fd(self._before)
        self._thread.join()
        self._signals.close()
        self._written.close()
        reason = self._reason_of(error) if error is not None else None
        self._end_children(at_once=error is not None)
        for path in self._folder.glob(word_file("*").name):
            path.unlink(missing_ok=True)
        if reason:
            raise RankLostError(reason) from error

    def lost(self) -> str | None:
        """Which process has ended before its time, and how."""
        children = [Child(rank, process) for rank, process in enumerate(getattr(self._launcher, "procs", ()), 1)]
        others: list[Watched] = [*children, *self._neighbours]
        for each in others:
            if fate := each.fate():
                with contextlib.suppress(OSError):
                    return f"rank {each.rank} failed: {(self._folder / word_file(each.rank)).read_text('utf-8')}"
                return f"rank {each.rank} {fate}"
        return None

    def _reason_of(self, error: BaseException) -> str | None:
        """What made this error come about, if that was in another process."""
        is_of_connection = is_of_the_connection(error)
        if not is_of_connection and not isinstance(error, StoppedAtOnce | KeyboardInterrupt | SystemExit):
            return None
        last = time.monotonic() + (NOTICE if is_of_connection else 0.0)
        while (reason := self.lost()) is None and time.monotonic() < last:
            time.sleep(TICK)
        return reason

    def _watch(self) -> None:
        number, since = 0, 0.0
        while not self._over.is_set():
            if select.select([self._signals], [], [], TICK)[0]:
                heard = [each for each in self._signals.recv(64) if each in SIGNALS]
                number, since = (number, since) if number or not heard else (heard[0], time.monotonic())
            if number and time.monotonic() - since > PATIENCE:
                self._leave("interrupted", f"stopped by {signal.Signals(number).name}", 128 + number)
            elif (reason := self.lost()) and not self._over.wait(GRACE):
                self._leave("failed", reason, 1)

    def _leave(self, status: str, reason: str, code: int) -> None:
        if self._ending.acquire(blocking=False):
            self._end(status, reason)
            self._end_children(at_once=True)
            os._exit(code)

    def _end_children(self, *, at_once: bool) -> None:
        for process in getattr(self._launcher, "procs", ()):
            if not at_once:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            process.kill()
            process.wait()


def guarded(
    trainer: pl.Trainer, company: Company | None, folder: Path, stopping: Stopping, end: End
) -> contextlib.AbstractContextManager[Any]:
    """A guard, where a run has one: in the first of several processes."""
    if trainer.num_devices * trainer.num_nodes == 1 or not environment.is_first_process():
        return contextlib.nullcontext()
    return Guard(trainer, company, folder, stopping, end)


def neighbours(company: Company | None) -> list[Neighbour]:
    """The other processes of a company that are on this machine."""
    others = [each for each in company.members if each.rank != environment.rank()] if company else []
    return [Neighbour(each.rank, each.pid) for each in others if each.is_near()]


def follow_the_first(company: Company | None) -> None:
    """End this process, which is not the first one, some time after that has gone: nobody would hear of it."""
    near = {each.rank: each for each in neighbours(company)}
    if company is None and (pid := os.environ.get(FIRST)):
        near = {0: Neighbour(0, int(pid))}
    if 0 not in near:
        return

    def watch() -> NoReturn:
        while near[0].fate() is None:
            time.sleep(TICK)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="follow the first", daemon=True).start()


def word_file(rank: int | str) -> Path:
    """Where a process other than the first one tells, in the folder of the run, what has ended it."""
    return Path(f".rank_{rank}{PART}")


def leave_word(folder: Path, error: BaseException, reason: str) -> None:
    """In a process other than the first one: tell that one what has ended this one, if it was no other one's end."""
    if not environment.is_first_process() and not is_of_the_connection(error):
        write_atomically(folder / word_file(environment.rank()), reason)


def unobserved(trainer: pl.Trainer) -> _SubprocessScriptLauncher | None:
    """The trainer's launcher, if it starts processes itself; made to leave their deaths to the guard."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return None
    ours = _Unobserved(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)
    trainer.strategy._launcher = ours
    return ours


class _Unobserved(_SubprocessScriptLauncher):
    """Lightning's own observer would kill the first process as well, before it can say why."""

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)
