"""The runs of a sweep on a cluster: handed over as one job array, and waited for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.cluster.follow import Following
from ablate.cluster.jobs import Submission, latest, numbered, read_jobs, where, write_jobs
from ablate.cluster.settings import NAME
from ablate.cluster.slurm import NoAnswerError
from ablate.cluster.submit import checked_settings, reach, submit, unreachable
from ablate.cluster.task import Task
from ablate.errors import UserError
from ablate.sweep.pool import Job
from ablate.sweep.state import state_of
from ablate.sweep.watch import Watch


@dataclass(frozen=True)
class Cluster:
    """What a command knows of the cluster before it begins. `submissions`: the jobs of this sweep so far. `there`: runs
    that are still in them, to be waited for and not to be submitted again. `settings`: nothing is `auto` in them.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    submissions: tuple[Submission, ...] = ()
    there: frozenset[str] = frozenset()

    def scancel(self) -> str:
        """What to type to end its jobs."""
        jobs = {latest(self.submissions)[run].job for run in self.there}
        return " ".join(["scancel", *sorted(job for job in jobs if job)])


def is_for_cluster(launcher: Mapping[str, Any]) -> bool:
    return bool(launcher["hydra/launcher"] == NAME)


def look_at_cluster(launcher: Mapping[str, Any], trainers: Sequence[Any], num_runs: int, known: Cluster) -> Cluster:
    """With checked settings. Raises `UserError` unless the cluster would take this many runs."""
    return replace(known, settings=checked_settings(launcher, trainers, num_runs))


def find_jobs(folder: Path, launcher: Mapping[str, Any]) -> Cluster:
    """The jobs of the sweep in `folder`.

    Raises `UserError` if nobody can tell, or if they are in the way of another launcher.
    """
    submissions = read_jobs(folder)
    open_runs = {run for run in latest(submissions) if state_of(folder / run).status != "done"}
    if not open_runs:
        return Cluster(submissions=submissions)
    try:
        found = {run: place for run, place in where(submissions).items() if run in open_runs}
    except NoAnswerError as error:
        if not is_for_cluster(launcher):
            return Cluster(submissions=submissions)  # the sweep may have been carried to another machine
        reach()
        raise unreachable(error) from None
    there = {run for run, place in found.items() if not place.is_over or state_of(folder / run).status == "running"}
    if there and not is_for_cluster(launcher):
        jobs = " ".join(sorted({found[run].job for run in there}))
        raise UserError.of(
            f"{len(there)} runs of {folder} are on the cluster (jobs {jobs})",
            f"hydra/launcher={NAME}, which waits for them, or no job of theirs",
            f"scancel {jobs}",
        )
    return Cluster(submissions=submissions, there=frozenset(there))


def hand_over(folder: Path, logs: Path, cluster: Cluster, tasks: Mapping[str, Task]) -> Cluster:
    """Submit these runs, and note the job in the folder of the sweep. Raises `UserError` if SLURM refuses."""
    if not tasks:
        return cluster
    attempts = [state_of(folder / name).attempts for name in tasks]
    new = Submission.new(str(cluster.settings["name"]), list(tasks), attempts)
    write_jobs(folder, [*cluster.submissions, new])  # first: if this process dies, they are found by their name
    try:
        new = numbered(new, submit(cluster.settings, logs, new.name, list(tasks.values())))
    except UserError:
        write_jobs(folder, cluster.submissions)
        raise
    write_jobs(folder, [*cluster.submissions, new])
    return replace(cluster, submissions=(*cluster.submissions, new), there=cluster.there | set(tasks))


def wait_for(watch: Watch, jobs: Collection[Job], cluster: Cluster, logs: Path) -> bool:
    """Until these runs have ended. False: Ctrl-C came first, or SIGTERM; the jobs go on."""
    if not jobs:
        return True
    watch.display.say(f"{len(jobs)} runs on the cluster; to end them: {cluster.scancel()}")
    try:
        Following(watch, {job.name: job for job in jobs}, cluster.submissions, logs).until_they_end()
    except KeyboardInterrupt:
        return False
    return True
