"""What a job of SLURM's does on its node: one run, in a process of its own that it watches.

Submitit pickles a `Task` and calls it there. The process is the run's plain command, so that nothing of the job leaks
into it and its hard death is noticed. Where a run is asked to end, by the time limit or for somebody more important, it
saves itself at its next batch; the job is requeued, and the run goes on in its folder.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ablate.processes.holder import STALE_SECONDS, holder
from ablate.sweep.death import note_death
from ablate.sweep.pool import Job
from ablate.sweep.slots import num_cores
from ablate.sweep.state import BROKEN, state_of

if TYPE_CHECKING:
    from ablate.cluster.process import NodeProcess

LINGER_SECONDS = 900.0  # SLURM kills half a minute after it has asked, or at the end of the partition's grace time
SLOWEST_SECONDS = 30.0  # between the first process of a run that fails and the last
SAID_IT_ALL = (0, 130, 143)  # exit codes of a run that has written its end into its record


@dataclass
class Task:
    """Plain values alone: it goes through a pickle. All paths are absolute; `words` make the run alone."""

    conf: str
    program: str
    directory: str
    folder: str
    words: tuple[str, ...]
    forced: tuple[str, ...] | None = None
    _process: "NodeProcess | None" = field(default=None, repr=False, compare=False)
    _is_told: bool = field(default=False, repr=False, compare=False)

    def __call__(self) -> str:
        """Train, or go on; the status that the run has come to. Raises `RuntimeError` for a run that has failed."""
        rank, folder = int(os.environ.get("SLURM_PROCID", "0")), Path(self.folder)
        os.chdir(self.directory)
        if rank == 0:
            if state_of(folder).status == "done":
                return "done"
            _wait_for_the_last_node(folder)
        signal.signal(signal.SIGTERM, self._hear)  # after submitit, which has just set its own
        before = state_of(folder)
        code, reason = self._run(folder, rank)
        if rank:
            return _end_of_another(code, reason)
        state = state_of(folder)
        is_unsaid = state.status == "interrupted" or state.attempts == before.attempts
        if state.status in ("running", "pending") or (code not in SAID_IT_ALL and is_unsaid):
            note_death(folder, "interrupted" if self._is_told and code < 0 else "failed", reason)
            state = state_of(folder)
        if state.status in ("pending", *BROKEN):
            raise RuntimeError(f"{folder}: {state.reason or reason}")
        if state.status == "interrupted" and self._is_told:
            time.sleep(LINGER_SECONDS)  # to be killed or requeued: an end of its own accord would count as a success
        return state.status

    def checkpoint(self) -> Any:
        """Submitit calls this when the job is to make room; what it returns is what the requeued job will do."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            if not self._is_told:
                self._process.stop()
            self._process.until_it_ends()
        status = state_of(Path(self.folder)).status
        if status == "done" or status in BROKEN:
            sys.exit(status != "done")  # there is nothing to come back for
        return DelayedSubmission(replace(self, _process=None, _is_told=False))

    def _run(self, folder: Path, rank: int) -> tuple[int, str]:
        """Until its process has ended; its exit code, and the same in words."""
        from ablate.cluster.process import NodeProcess
        from ablate.training import Setting

        setting, job = Setting(Path(self.conf), self.program, self.forced), Job(folder.name, self.folder, self.words)
        self._process = NodeProcess.start(setting, job, _num_threads(), log=rank == 0)
        return self._process.until_it_ends(), self._process.how()

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM, which the run's process has got as well: it is not to hear it twice."""
        self._is_told = True


def _end_of_another(code: int, reason: str) -> str:
    """Of a process that shares a run, and does not write its record."""
    if code in SAID_IT_ALL:
        return "ended"
    time.sleep(SLOWEST_SECONDS)  # the first one may be about to say why it failed; else it waits for this one
    raise RuntimeError(reason)  # and SLURM ends the others


def _wait_for_the_last_node(folder: Path) -> None:
    """SLURM starts a job again when its node has vanished; the lease of the run there is taken for alive a while."""
    end = time.monotonic() + STALE_SECONDS + 10
    while holder(folder) is not None and time.monotonic() < end:
        time.sleep(1)


def _num_threads() -> int:
    """What the job has asked for; SLURM does not always keep a job from seeing more cores than its own."""
    named = os.environ.get("SLURM_CPUS_PER_TASK", os.environ.get("OMP_NUM_THREADS", ""))
    return int(named) if named.isdecimal() and int(named) else num_cores()
