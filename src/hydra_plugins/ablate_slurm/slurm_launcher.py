"""Hydra's way in to the runs of a sweep on a SLURM cluster: `hydra/launcher=submitit_slurm`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as Engine
except ImportError:  # an optional extra; a command that asks for it is told so before anything is created
    Engine = Launcher


class SlurmLauncher(Engine):  # type: ignore[misc]
    """hydra-submitit-launcher, with its keys, but for what is sent and how it is waited for.

    That one pickles the whole task with its config, waits in silence, and ends with the first job that fails. Here
    `train.py`'s own task, which has planned the runs, hands submitit their plain words, and follows their records.
    """

    def __init__(self, **settings: Any) -> None:
        if Engine is not Launcher:
            super().__init__(**settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        if not hasattr(task_function, "launch_on_cluster"):
            raise ValueError("hydra/launcher=submitit_slurm runs what train.py has planned, not a main of your own")
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        self.task_function.launch_on_cluster(numbers, self.params["submitit_folder"])
        # How each run has ended is in its record: an error here would have Hydra show a traceback of its own.
        return [
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=None)
            for overrides in job_overrides
        ]
