"""Hands the turn on within Lightning; times a checkpoint when the turns are over."""

import time
from typing import Any

import pytorch_lightning as pl
from turns import Over, at_batch

from ablate.callbacks.best_and_last import BestAndLast
from ablate.checkpoint import BEST, LAST

NUM_CHECKPOINTS = 3
checkpoint_seconds: list[float] = []  # of this process's training, if it keeps checkpoints


class TakesTurns(pl.Callback):
    """From one start of a batch to another it is all that the trainer does in between, the loader included."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        at_batch()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        keepers = [each for each in trainer.callbacks if isinstance(each, BestAndLast)]
        if isinstance(exception, Over):
            for keeper in keepers * NUM_CHECKPOINTS:
                start = time.perf_counter()
                keeper._take(trainer, BEST, LAST)  # at the end of an epoch that is the best so far
                keeper.on_train_epoch_start(trainer, pl_module)  # of the next one
                checkpoint_seconds.append(time.perf_counter() - start)
