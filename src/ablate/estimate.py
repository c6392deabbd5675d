"""What a run would cost, from a warm-up of a few steps that leaves nothing behind."""

import logging
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from ablate.build import make_classifier, make_data, make_network
from ablate.config.schema import Config
from ablate.processes.quiet import quiet_lightning

WARM_UP_STEPS, TIMED_STEPS = 3, 8


@dataclass(frozen=True)
class Estimate:
    """`seconds` of a run: setting up, and `num_epochs` epochs of training and validation; callbacks are not counted."""

    seconds: float
    num_epochs: int
    steps_per_epoch: int
    step_seconds: float  # median of the timed steps


class _StepTimes(pl.Callback):
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self.ends.append(time.monotonic())


def estimate(config: Config) -> Estimate:
    """Train a few steps of `config` on its own data and device, and forget them. Writes nothing but a temporary folder.

    Validation is taken to cost a third of a training step a batch: a forward pass without the two backward ones.
    """
    start = time.monotonic()
    data = make_data(config)
    data.setup("fit")
    net = make_network(config, data.num_classes)
    classifier = make_classifier(config, net, data.augmentation.mean, data.augmentation.std)
    setup_seconds = time.monotonic() - start
    times = _StepTimes()
    settings = {
        **config.trainer.lightning_arguments,
        "max_epochs": 1,
        "limit_train_batches": WARM_UP_STEPS + TIMED_STEPS,
        "limit_val_batches": 0,
        "profiler": None,
    }
    with quiet_lightning(), tempfile.TemporaryDirectory() as folder:
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")  # each of them comes again when the run is made
        trainer = pl.Trainer(
            default_root_dir=folder,
            logger=False,
            callbacks=[times],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **settings,
        )
        trainer.fit(classifier, datamodule=data)
    if config.trainer.compile and times.ends:
        setup_seconds = times.ends[0] - start  # the first step compiles
    steps = [b - a for a, b in zip(times.ends, times.ends[1:], strict=False)][WARM_UP_STEPS - 1 :]
    step_seconds = statistics.median(steps) if steps else 0.0
    steps_per_epoch = _limited(len(data.train_dataloader()), config.trainer.limit_train_batches)
    val_batches = _limited(len(data.val_dataloader()), config.trainer.limit_val_batches)
    num_epochs = config.trainer.max_epochs
    epoch_seconds = step_seconds * (steps_per_epoch + val_batches / 3)
    return Estimate(setup_seconds + num_epochs * epoch_seconds, num_epochs, steps_per_epoch, step_seconds)


def _limited(num_batches: int, limit: int | float | None) -> int:
    """Lightning's limit: a count, or a fraction of all."""
    if limit is None:
        return num_batches
    return min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
