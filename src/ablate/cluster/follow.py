"""What the command of a sweep does while its runs are on the cluster: it waits, by their files and by SLURM's word.

A run has ended when its record says so, or when SLURM says that its job is over. What its record could not say any more
is written into it here. Ending this changes nothing about the jobs.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ablate.cluster import slurm
from ablate.cluster.jobs import Submission, latest, where
from ablate.cluster.slurm import NoAnswerError, Place
from ablate.record import Status
from ablate.sweep.pool import Job
from ablate.sweep.state import BROKEN, GONE, state_of
from ablate.sweep.watch import Watch

TICK_SECONDS = 1.0  # between two looks at the files of the runs that go on
ASK_SECONDS = (2.0, 30.0)  # between two questions to SLURM: at first, and in a long sweep


@dataclass
class Following:
    """jobs: name -> run that is to be waited for. logs: where submitit keeps what the jobs print."""

    watch: Watch
    jobs: Mapping[str, Job]
    submissions: tuple[Submission, ...]
    logs: Path
    _places: dict[str, Place] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)  # twice in a row: a job that is being requeued can look so once
    _asked: float = float("-inf")
    _begun: float = field(default_factory=time.monotonic)
    _said: str = ""
    _is_news: bool = False
    _reasons: dict[str, str | None] = field(default_factory=dict)  # why runs had failed before they were handed over

    def __post_init__(self) -> None:
        again = [job for job in self.jobs.values() if self._attempts_before(job)]
        self._reasons = {job.name: state_of(Path(job.folder)).reason for job in again}

    def until_they_end(self) -> None:
        left = dict(self.jobs)
        while left:
            self._ask(left)
            left = {name: job for name, job in left.items() if not self._has_ended(job)}
            if self._is_news:
                self._is_news = False
                self.watch.changed()
            self.watch.tick()
            if left:
                time.sleep(TICK_SECONDS)

    def _ask(self, left: Mapping[str, Job]) -> None:
        """SLURM, if it is time."""
        first, later = ASK_SECONDS
        now = time.monotonic()
        if now - self._asked < min(later, max(first, (now - self._begun) / 20)):
            return
        self._asked = now
        try:
            found = {run: place for run, place in where(self.submissions).items() if run in left}
        except NoAnswerError as error:
            self._say(f"SLURM does not answer ({error}); asking again")
            return
        before = {run for run, place in self._places.items() if place.is_over}
        self._over = {run for run, place in found.items() if place.is_over and run in before}
        self._places = found
        waiting = [place.reason for place in found.values() if place.state == "PENDING"]
        if reasons := sorted(set(waiting) - {"None"}):
            self._say(f"{len(waiting)} in SLURM's queue ({', '.join(reasons)})")

    def _has_ended(self, job: Job) -> bool:
        place = self._places.get(job.name)
        if place is None or (place.state == "PENDING" and not self.watch.is_running(job)):
            return False
        folder, before = Path(job.folder), self._attempts_before(job)
        _look_again(folder)
        state = state_of(folder)
        if state.status == "running" and not self.watch.is_running(job):
            self._start(job)
        if state.status == "done" or (state.status in BROKEN and state.attempts > before):
            return self._end(job)
        if job.name not in self._over or state.status == "running":
            return False
        is_silent = state.status == "pending" or (state.status == "interrupted" and state.reason == GONE)
        if is_silent or (state.attempts == before and state.reason == self._reasons.get(job.name)):
            self._say_how_it_died(job, place)
        return self._end(job)

    def _start(self, job: Job) -> None:
        self.watch.started(job)
        self._is_news = True

    def _end(self, job: Job) -> bool:
        if not self.watch.is_running(job):
            self.watch.started(job)
        self.watch.ends(job, was_watched=False)
        self._is_news = True
        return True

    def _say_how_it_died(self, job: Job, place: Place) -> None:
        state = place.state or slurm.last_state(place.job) or "unknown to SLURM by now"
        status: Status = "interrupted" if state in slurm.WITHOUT_FAULT else "failed"
        log = next(iter(sorted(self.logs.glob(f"{place.job}_*_log.*"))), self.logs)
        more = "; hydra.launcher.mem_gb asks for more memory" if state == "OUT_OF_MEMORY" else ""
        self.watch.died(job, status, f"its job {place.job} ended without a word of it: {state}{more}; see {log}")

    def _attempts_before(self, job: Job) -> int:
        submission = latest(self.submissions)[job.name]
        return submission.attempts[submission.runs.index(job.name)]

    def _say(self, line: str) -> None:
        """Once."""
        if line and line != self._said:
            self.watch.display.say(line)
        self._said = line or self._said


def _look_again(folder: Path) -> None:
    """At a folder on a network file system, past what this machine remembers of it."""
    with suppress(OSError):
        os.chmod(folder, folder.stat().st_mode)
