"""Hydra's way in to the runs of a sweep in processes of this machine: `hydra/launcher=local`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Hands the runs to `train.py`'s own task, which has planned them and knows its slots.

    The keys of `conf/hydra/launcher/local.yaml` are read with the plan, before anything is created.
    """

    def __init__(self, **_settings: Any) -> None:
        self._task: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        if not hasattr(task_function, "launch"):
            raise ValueError("hydra/launcher=local runs what train.py has planned; with your own main: basic or joblib")
        self._task = task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        self._task.launch(numbers)
        # How each run has ended is in its record: an error here would have Hydra show a traceback of its own.
        return [
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=None)
            for overrides in job_overrides
        ]
