"""A sweep in processes of this machine: every run in its own, as many at once as there are slots."""

import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ablate.cluster.launch import Cluster, hand_over, is_for_cluster, look_at_cluster, wait_for
from ablate.cluster.task import Task
from ablate.config.folders import claim, variant_of
from ablate.config.plan import Plan
from ablate.errors import Problem, UserError
from ablate.processes.holder import holder
from ablate.processes.lease import Lease
from ablate.record import RunRecord
from ablate.single import signals
from ablate.sweep.death import read_record
from ablate.sweep.display import Display
from ablate.sweep.manifest import Manifest
from ablate.sweep.pool import Job, Pool, in_words
from ablate.sweep.slots import Slot, make_slots, problems_of
from ablate.sweep.state import state_of
from ablate.sweep.table import exit_code, show_sweep, show_way_back
from ablate.sweep.watch import Watch, remake_report
from ablate.training import OwnProcesses, Setting, Train, program, run_hydra

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class LocalWatch(Watch):
    """Of a pool on this machine."""

    processes: OwnProcesses
    received: list[int]
    refused: list[Problem]

    def ended(self, job: Job, exit_code: int) -> str:
        refused, error = self.processes.last_words(job)
        self.refused += refused
        state = state_of(Path(job.folder))
        if refused:  # by the run itself, which has said so in its record, or has left that of another as it was
            if state.status == "pending":
                self.died(job, "failed", refused[-1].given)
        # One that runs although its process here has ended was taken over, on another machine.
        elif state.status == "pending" or (state.status == "interrupted" and exit_code not in (0, 130)):
            is_stopped = exit_code == -signal.SIGTERM or (bool(self.received) and exit_code < 0)
            self.died(job, "interrupted" if is_stopped else "failed", error or in_words(exit_code))
        return self.ends(job).status


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
    slots: Sequence[Slot] = ()
    cluster: Cluster | None = None
    is_left: bool = False  # by Ctrl-C, while its runs go on elsewhere
    lease: Lease | None = None
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
        if self.received:  # in an earlier batch of `hydra.sweeper.max_batch_size`
            return
        names = [name for number, name in enumerate(self.planned.runs) if number in set(numbers)]
        jobs = [self._job(name) for name in names if name in self.todo]
        launcher, processes = self.planned.launcher, OwnProcesses(self.setting)
        with Display(len(names), len(names) - len(jobs), len(self.slots)) as display:
            of_sweep = (self.folder, self.manifest, self.planned, display, self.lease)
            watch = LocalWatch(*of_sweep, processes=processes, received=self.received, refused=self.refused)
            Pool(
                self.slots,
                processes,
                watch,
                retries=launcher["retries"],
                stop_on_failure=launcher["on_failure"] == "stop",
                received=self.received,
            ).run(jobs)

    def launch_on_cluster(self, numbers: Sequence[int], submitit_folder: str) -> None:
        """Hand those of the runs with these numbers that are to do to the cluster, and wait for all that are there."""
        assert self.cluster is not None
        logs, directory = Path(submitit_folder).absolute(), str(Path.cwd())
        names = [name for number, name in enumerate(self.planned.runs) if number in set(numbers)]
        tasks = {name: self._task(name, directory) for name in names if name in self.todo}
        try:
            self.cluster = hand_over(self.folder, logs, self.cluster, tasks)
        except UserError as error:
            self.refused += error.problems
        jobs = [self._job(name) for name in names if name in self.cluster.there]
        at_once = min(self.cluster.settings["array_parallelism"], max(1, len(jobs)))
        with Display(len(names), len(names) - len(jobs), at_once) as display:
            watch = Watch(self.folder, self.manifest, self.planned, display, self.lease)
            self.is_left = not wait_for(watch, jobs, self.cluster, logs)

    def _task(self, name: str, directory: str) -> Task:
        folder = (self.folder / name).absolute()
        how, words = self.setting, self._words_alone(name, folder)
        forced = None if how.forced is None else tuple(how.forced)
        return Task(str(how.conf.resolve()), how.program, directory, str(folder), words, forced)

    def _job(self, name: str) -> Job:
        folder = self.folder / name
        return Job(name, str(folder), self._words_alone(name, folder))

    def _words_alone(self, name: str, folder: Path) -> tuple[str, ...]:
        return (*self.manifest.options, *self.planned.words_alone(name, folder))


def begin(conf: Path, planned: Plan, overrides: Sequence[str], flags: Sequence[str], *, multirun: bool) -> int:
    """A new sweep, from its plan to its table; the exit code."""
    slots, cluster = place_for(planned, len(planned.runs))
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
    sweep = Sweep(folder, Setting(conf, manifest.program), manifest, planned, frozenset(planned.runs), slots, cluster)
    return carry_out(sweep)


def carry_out(sweep: Sweep) -> int:
    """Train what is to do, and show what came out; the exit code."""
    folder, planned, manifest = sweep.folder, sweep.planned, sweep.manifest
    multirun = ["--multirun"] if manifest.multirun else []
    with Lease.take(folder) as lease:
        sweep.lease = lease
        _mark_variants(folder, planned)
        manifest.write(folder)
        with signals() as received:
            sweep.received = received
            run_hydra(sweep.setting.conf, [*manifest.options, *multirun, *planned.words_for(folder)], sweep)
        if lease.is_held():
            manifest.refreshed(folder).write(folder)
    if sweep.is_left and sweep.cluster:
        show_way_back(folder, sweep.cluster.scancel())
        return 128 + received[0]
    show_sweep(folder, list(planned.runs), verdict=remake_report(folder))
    UserError.raise_all(sweep.refused)
    return 128 + received[0] if received else exit_code([folder / name for name in planned.runs])


def _mark_variants(folder: Path, planned: Plan) -> None:
    """Records of runs that were there before the sweep was extended learn the values of its new factors."""
    for name in planned.runs:
        variant = variant_of(planned.factors, planned.words_of[name])
        record = read_record(folder / name)
        if record and record.variant != variant and holder(folder / name) is None:
            replace(record, variant=variant).write(folder / name)


def place_for(planned: Plan, num_runs: int, known: Cluster | None = None) -> tuple[list[Slot], Cluster | None]:
    """Where this many runs of a plan are to go: the slots of this machine, or the cluster; neither for Hydra's own
    launchers. `known`: what is known of the jobs of this sweep.

    Raises `UserError` for keys of the launcher that make no sense there.
    """
    launcher, trainers = planned.launcher, [config.trainer for config in planned.runs.values()]
    if is_for_cluster(launcher):
        return [], look_at_cluster(launcher, trainers, num_runs, known or Cluster())
    if launcher["hydra/launcher"] != "local":
        return [], None
    UserError.raise_all(problems_of(launcher))
    return make_slots(launcher["n_jobs"], launcher["threads"], trainers, num_runs=len(planned.runs)), None
