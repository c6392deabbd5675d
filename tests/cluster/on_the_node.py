"""A callback of the user's own: in the second epoch of a run on the cluster, it does what its config says."""

import os
import signal
import subprocess
import time
from typing import Any

import pytorch_lightning as pl

OF_MY_JOB = "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"


class Breaks(pl.Callback):
    def __init__(self, how: str) -> None:
        self.how = how

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) != (1, 1) or "SLURM_JOB_ID" not in os.environ:
            return
        if self.how == "raise":
            raise RuntimeError("something of the user's own")
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "die_with_the_task":
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        if "SLURM_RESTART_COUNT" not in os.environ:
            job = "_".join(os.environ[name] for name in OF_MY_JOB)
            if self.how == "preempt":
                subprocess.run(["scancel", "--signal=USR2", job], check=True)
                _wait_for_the_end()
            if self.how == "requeue":
                subprocess.run(["scontrol", "requeue", job], check=True)
                _wait_for_the_end()


def _wait_for_the_end() -> None:
    """Until the run has heard that it is to end; it does at the next batch."""
    end = time.monotonic() + 60
    while not signal.getsignal(signal.SIGTERM).__self__.is_asked and time.monotonic() < end:  # type: ignore[union-attr]
        time.sleep(0.05)
