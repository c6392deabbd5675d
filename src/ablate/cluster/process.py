"""The process of a run in a job of a cluster: its plain command, with nothing of the job in it."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

from ablate.config.compose import checked
from ablate.config.flags import composer, parse_flags
from ablate.single import company_of, train_in
from ablate.sweep.pool import Job, in_words
from ablate.training import Setting, ends_with, follow_the_parent, last_words, pretend, write_to

OF_THE_JOB = {signal.SIGUSR1, signal.SIGUSR2}  # sent to all processes of a job, and meant for the one that watches


@dataclass
class NodeProcess:
    """Started afresh, in the process group of its job, so that what the cluster sends to the job gets there."""

    process: BaseProcess
    words: Connection

    @classmethod
    def start(cls, setting: Setting, job: Job, threads: int, *, log: bool) -> "NodeProcess":
        """log: what it prints goes into the log of the run, else to wherever this process prints."""
        context = multiprocessing.get_context("spawn")
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_train, args=(setting, job, threads, writer, log), name=job.name)
        with _blocked(OF_THE_JOB):  # inherited, until the process ignores them
            process.start()
        writer.close()
        return cls(process, reader)

    def stop(self) -> None:
        """Have it end at its next batch, and save itself."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGTERM)

    def until_it_ends(self) -> int:
        """Its exit code. Signal handlers run meanwhile."""
        while self.process.is_alive():
            wait([self.process.sentinel], timeout=5)
        return self.process.exitcode if self.process.exitcode is not None else 1

    def how(self) -> str:
        """It ended, in words."""
        problems, error = last_words(self.words)
        return problems[0].given if problems else error or in_words(self.until_it_ends())


def _train(how: Setting, job: Job, threads: int, words: Connection, log: bool) -> NoReturn:
    """The whole life of the process."""
    for number in OF_THE_JOB:
        signal.signal(number, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is loaded
    if log:
        write_to(Path(job.folder))
    follow_the_parent()
    pretend(how.program)
    flags, plain = ([word for word in job.words if word.startswith("--") is flag] for flag in (True, False))

    def work() -> int:
        import torch

        torch.set_num_threads(threads)
        company = company_of(checked(composer(how.conf, parse_flags(flags)).compose(plain)))
        return train_in(Path(job.folder), how.conf, job.words, how.forced, company, log_only=log)

    ends_with(words, work)


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
