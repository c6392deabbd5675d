"""A sweep in processes of this machine: every run in its own, as many at once as there are slots."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ablate.config.folders import claim, variant_of
from ablate.config.plan import Plan
from ablate.errors import Problem, UserError
from ablate.lease import Lease
from ablate.record import FILE_NAME, RunRecord, config_hash, one_line
from ablate.single import signals
from ablate.sweep.display import Display
from ablate.sweep.manifest import Manifest
from ablate.sweep.pool import Job, Pool, in_words
from ablate.sweep.slots import Slot, make_slots, problems_of
from ablate.sweep.state import state_of
from ablate.sweep.table import exit_code, show_sweep
from ablate.training import LOG, OwnProcesses, Setting, Train, program, run_hydra

log = logging.getLogger(__name__)


@dataclass
class Watch:
    """Keeps manifest, records, display and report true while the runs of a pool come and go."""

    folder: Path
    manifest: Manifest
    planned: Plan
    processes: OwnProcesses
    display: Display
    received: list[int]
    refused: list[Problem]
    _running: dict[str, Path] = field(default_factory=dict)
    _report_is_due: bool = False

    def started(self, job: Job) -> None:
        self._running[job.name] = Path(job.folder)
        self.display.started(job)

    def ended(self, job: Job, exit_code: int) -> str:
        folder = self._running.pop(job.name)
        refused, error = self.processes.last_words(job)
        self.refused += refused
        state = state_of(folder)
        if state.status in ("running", "pending") or (state.status == "interrupted" and exit_code not in (0, 130)):
            self._say_how_it_died(job, folder, exit_code, refused[-1].given if refused else error)
            state = state_of(folder)
        self.display.ended(job, state, _read(folder))
        self._report_is_due = True
        return state.status

    def changed(self) -> None:
        self.manifest = self.manifest.refreshed(self.folder)
        self.manifest.write(self.folder)
        if self._report_is_due:
            remake_report(self.folder)
            self._report_is_due = False

    def tick(self) -> None:
        self.display.tick(self._running)

    def _say_how_it_died(self, job: Job, folder: Path, exit_code: int, reason: str | None) -> None:
        """In the record, which the run itself could not finish."""
        reason = reason or in_words(exit_code)
        config = self.planned.runs[job.name]
        record = _read(folder)
        if record is None:
            plain = config.plain
            variant = variant_of(self.planned.factors, job.words)
            record = RunRecord(config.name, config.seed, variant, plain, config_hash(plain), command=list(job.words))
        stopped = bool(self.received) and exit_code < 0
        record.status, record.error = ("interrupted" if stopped else "failed"), reason
        record.finished = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            record.write(folder)
            with (folder / LOG).open("a", encoding="utf-8") as file:
                print(f"{record.finished} {record.status}: {reason}", file=file)
        except OSError as error:
            log.error("%s: %s", folder, one_line(error))


@dataclass
class Sweep:
    """Hydra's task function of a sweep. A launcher that has processes of its own calls it in them, once a run; the
    local launcher calls `launch`.

    `todo`: names of the runs to train; the others are done, or have failed and are left alone.
    """

    folder: Path
    setting: Setting
    manifest: Manifest
    planned: Plan
    todo: frozenset[str]
    slots: Sequence[Slot]
    received: list[int] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)

    def __call__(self, config: DictConfig) -> RunRecord | None:
        name = list(self.planned.runs)[HydraConfig.get().job.num]
        if name not in self.todo:
            return None
        log.info("run %d of %d: %s", HydraConfig.get().job.num + 1, len(self.planned.runs), name)
        try:
            record = Train(self.setting.forced)(config)
        except UserError as error:
            self.refused += error.problems
            return None
        finally:
            self.manifest.refreshed(self.folder).write(self.folder)
            remake_report(self.folder)
        if record.status == "interrupted":
            raise KeyboardInterrupt  # the runs after this one are not wanted either
        return record

    def launch(self, numbers: Sequence[int]) -> None:
        """Train those of the runs with these numbers that are to do, in processes of this machine."""
        names = [name for number, name in enumerate(self.planned.runs) if number in set(numbers)]
        jobs = [self._job(name) for name in names if name in self.todo]
        launcher, processes = self.planned.launcher, OwnProcesses(self.setting)
        with Display(len(names), len(names) - len(jobs), len(self.slots)) as display:
            watch = Watch(self.folder, self.manifest, self.planned, processes, display, self.received, self.refused)
            Pool(
                self.slots,
                processes,
                watch,
                retries=launcher["retries"],
                stop_on_failure=launcher["on_failure"] == "stop",
                received=self.received,
            ).run(jobs)

    def _job(self, name: str) -> Job:
        folder = self.folder / name
        return Job(name, str(folder), self.planned.words_alone(name, folder))


def begin(conf: Path, planned: Plan, overrides: Sequence[str], flags: Sequence[str], *, multirun: bool) -> int:
    """A new sweep, from its plan to its table; the exit code."""
    slots = slots_for(planned)
    folder = planned.folder if planned.folder_typed else claim(planned.folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        overrides=tuple(overrides),
        runs={},
        conf=str(conf.resolve()),
        program=program(conf),
        directory=os.getcwd(),
        options=tuple(flags),
        multirun=multirun,
    ).with_runs({name: config.plain for name, config in planned.runs.items()})
    sweep = Sweep(folder, Setting(conf, manifest.program), manifest, planned, frozenset(planned.runs), slots)
    return carry_out(sweep)


def carry_out(sweep: Sweep) -> int:
    """Train what is to do, and show what came out; the exit code."""
    folder, planned, manifest = sweep.folder, sweep.planned, sweep.manifest
    multirun = ["--multirun"] if manifest.multirun else []
    with Lease.take(folder):
        manifest.write(folder)
        with signals() as received:
            sweep.received = received
            run_hydra(sweep.setting.conf, [*manifest.options, *multirun, *planned.words_for(folder)], sweep)
        manifest.refreshed(folder).write(folder)
    show_sweep(folder, list(planned.runs), verdict=remake_report(folder))
    UserError.raise_all(sweep.refused)
    return 128 + received[0] if received else exit_code([folder / name for name in planned.runs])


def slots_for(planned: Plan) -> list[Slot]:
    """Raises `UserError` for keys of the local launcher that make no sense on this machine."""
    launcher = planned.launcher
    if launcher["name"] != "local":
        return []
    UserError.raise_all(problems_of(launcher))
    trainers = [config.trainer for config in planned.runs.values()]
    return make_slots(launcher["n_jobs"], launcher["threads"], trainers, num_runs=len(planned.runs))


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


def _read(folder: Path) -> RunRecord | None:
    if not (folder / FILE_NAME).is_file():
        return None
    try:
        return RunRecord.read(folder)
    except UserError:
        return None
