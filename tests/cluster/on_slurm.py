"""What the tests of the cluster type, and what they look at."""

import time
from collections.abc import Callable
from pathlib import Path

from one_node import Cluster

from ablate.record import RunRecord
from typed import TINY

ON_SLURM = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=20", "hydra.launcher.cpus_per_task=1"]
RUN = [*TINY, "data.num_workers=0", "augmentation=crop_flip"]
BREAKS = ["allow_targets=[on_the_node]", "+callbacks.breaks._target_=on_the_node.Breaks"]


def records(sweep: Path) -> dict[str, RunRecord]:
    return {path.parent.name: RunRecord.read(path.parent) for path in sorted(sweep.glob("*/run.json"))}


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.2)


SECONDS_OF_DYING = 15.0  # a job that starts again while its last life is still being ended fails in SLURM itself


class Release:
    """Lets requeued jobs start sooner: SLURM holds them for two minutes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._held: dict[str, float] = {}  # job -> when it was seen first

    def __call__(self) -> None:
        rows = self._cluster.ask("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i|%r").splitlines()
        for job, reason in (row.split("|") for row in rows):
            now = time.monotonic()
            if reason == "BeginTime" and now - self._held.setdefault(job, now) > SECONDS_OF_DYING:
                self._cluster.ask("scontrol", "update", f"jobid={job}", "starttime=now")
