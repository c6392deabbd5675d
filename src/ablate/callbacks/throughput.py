"""Training speed and peak memory, once an epoch."""

import resource
import statistics
import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch


class Throughput(pl.Callback):
    """Logs `throughput/images_per_second`, training pictures over training time, and `throughput/peak_memory_mb`.

    The time runs from the start of an epoch to its last batch: the loader counts, validation and callbacks at the end
    of an epoch do not. Memory: the most that tensors held on a GPU; else the process's highest resident size.
    """

    def __init__(self) -> None:
        self.images_per_second: list[float] = []  # by epoch
        self._started = self._stopped = 0.0
        self._num_pictures = 0

    @property
    def median_images_per_second(self) -> float | None:
        return statistics.median(self.images_per_second) if self.images_per_second else None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.images_per_second.clear()

    def state_dict(self) -> dict[str, Any]:
        return {"images_per_second": list(self.images_per_second)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_per_second = list(state_dict["images_per_second"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()  # a training that goes on within an epoch does not begin one

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def _begin(self) -> None:
        self._num_pictures = 0
        self._started = self._stopped = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._num_pictures += len(batch[1])
        if trainer.is_last_batch:
            if pl_module.device.type == "cuda":
                torch.cuda.synchronize(pl_module.device)  # once an epoch: kernels run behind the program
            self._stopped = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {"throughput/peak_memory_mb": peak_memory(pl_module) / 1e6}
        if self._num_pictures:  # none if all that was left of the epoch was its validation
            speed = self._num_pictures * trainer.world_size / (self._stopped - self._started)
            self.images_per_second.append(speed)
            values["throughput/images_per_second"] = speed
        pl_module.log_dict(values, on_step=False, on_epoch=True, rank_zero_only=True)


def peak_memory(module: pl.LightningModule) -> int:
    """Bytes: the most that tensors held on the module's GPU, else the process's highest resident size."""
    if module.device.type == "cuda":
        return torch.cuda.max_memory_allocated(module.device)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
