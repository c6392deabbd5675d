"""Hands the turn on within Lightning; times a checkpoint when the turns are over."""

import math
import time
from typing import Any

import pytorch_lightning as pl
from turns import Over, at_batch

from ablate.callbacks.best_and_last import BestAndLast
from ablate.checkpoint import BEST, LAST

checkpoint_seconds = math.nan  # of this process's training, when its turns are over


class TakesTurns(pl.Callback):
    """From one start of a batch to another it is all that the trainer does in between, the loader included."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        at_batch()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        global checkpoint_seconds
        keepers = [each for each in trainer.callbacks if isinstance(each, BestAndLast)]
        if isinstance(exception, Over) and keepers:
            start = time.perf_counter()
            keepers[0]._take(trainer, BEST, LAST)  # at the end of an epoch that is the best so far
            keepers[0].on_train_epoch_start(trainer, pl_module)  # of the next one
            checkpoint_seconds = time.perf_counter() - start
