"""What a sweep keeps true while its runs come and go, wherever they run: manifest, records, display and report."""

import logging
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from ablate.config.folders import variant_of
from ablate.config.plan import Plan
from ablate.errors import UserError
from ablate.processes.lease import Lease
from ablate.record import RunRecord, Status, config_hash
from ablate.sweep.death import note_death, read_record
from ablate.sweep.display import Display
from ablate.sweep.manifest import Manifest
from ablate.sweep.pool import Job
from ablate.sweep.seldom import Seldom
from ablate.sweep.state import State, state_of

log = logging.getLogger(__name__)


@dataclass
class Watch:
    folder: Path
    manifest: Manifest
    planned: Plan
    display: Display
    lease: Lease | None = None  # of the sweep
    _running: dict[str, Path] = field(default_factory=dict)
    _is_over: bool = False

    def __post_init__(self) -> None:
        self._manifest = Seldom(self._write_manifest)
        self._report = Seldom(lambda: remake_report(self.folder))

    def started(self, job: Job) -> None:
        self._running[job.name] = Path(job.folder)
        self.display.started(job)

    def is_running(self, job: Job) -> bool:
        return job.name in self._running

    def ends(self, job: Job, *, was_watched: bool = True) -> State:
        """Tell that it has ended, in the way that its record says by now."""
        folder = self._running.pop(job.name)
        state, record = state_of(folder), read_record(folder)
        took = None if was_watched or record is None else record.seconds.get("total", 0.0)
        self.display.ended(job, state, record, took)
        self._report.due()
        return state

    def died(self, job: Job, status: Status, reason: str) -> None:
        """Write it into the record, which the run itself could not finish."""
        note_death(Path(job.folder), status, reason, lambda: self._new_record(job))

    def changed(self) -> None:
        self._manifest.due()
        self._bring_up_to_date()

    def tick(self) -> None:
        self.display.tick(self._running)
        self._bring_up_to_date()

    def _bring_up_to_date(self) -> None:
        if self.lease is not None and not self.lease.is_held():
            if not self._is_over:
                log.error("another command has taken %s over; this one stops", self.folder)
                os.kill(os.getpid(), signal.SIGTERM)
            self._is_over = True
            return
        self._manifest.attempt()
        self._report.attempt()

    def _write_manifest(self) -> None:
        self.manifest = self.manifest.refreshed(self.folder)
        self.manifest.write(self.folder)

    def _new_record(self, job: Job) -> RunRecord:
        config = self.planned.runs[job.name]
        variant = variant_of(self.planned.factors, job.words)
        return RunRecord(
            config.name,
            config.seed,
            variant,
            config.plain,
            config_hash(config.plain),
            command=[self.manifest.program, *job.words],
            directory=self.manifest.directory,
        )


def remake_report(folder: Path) -> str:
    """The verdict of a sweep so far, in words; the report's files in its folder. Trouble there does not end a sweep."""
    try:
        from ablate.report.command import report

        return str(report([folder]))
    except UserError as error:
        return str(error)
    except Exception:
        log.exception("the report could not be made; type: python -m ablate report %s", folder)
        return ""
