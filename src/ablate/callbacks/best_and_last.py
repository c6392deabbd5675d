"""Keeps `best.ckpt` and `last.ckpt`, and ends a training that was asked to stop."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from ablate.board import writer
from ablate.callbacks.divergence import Diverged
from ablate.checkpoint import BEST, CHOSEN_ON, LAST, HeldCheckpoint, write
from ablate.processes.stopping import Stopped, Stopping

_VALIDATION = "epoch_loop.val_loop.batch_progress"
_FIRST_BATCH = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


class BestAndLast(Checkpoint):
    """`best.ckpt`: the first epoch with the highest validation accuracy; `last.ckpt`: the last epoch, or the batch at
    which a signal stopped the training. Both are whole checkpoints, to go on from; `best_epoch` is in them.

    The state is taken when an epoch ends, and written when the loggers have written what they know of it: who goes on
    from a checkpoint finds on disk all that was logged before it.

    identity: plain values that say which run this is, kept in each checkpoint under "run".
    stopping: asked after every batch, in training and in validation. tell: asked before each write (see RecordKeeper).
    """

    def __init__(
        self,
        folder: Path,
        held: HeldCheckpoint,
        identity: Mapping[str, Any],
        stopping: Stopping,
        tell: Callable[..., None] = lambda **_: None,
    ) -> None:
        self._tell = tell
        self.folder, self._held, self._identity, self._stopping = folder, held, dict(identity), stopping
        self.best_epoch: int | None = None
        self.best_value = -math.inf
        self._due: tuple[str, ...] = ()  # files that the state in memory is to be written to
        self._validating = False

    @property
    def best_model_path(self) -> str:
        return str(self.folder / BEST)

    def state_dict(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_value": self.best_value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_epoch, self.best_value = state_dict["best_epoch"], state_dict["best_value"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["run"] = self._identity
        if self._validating:
            # Validation begins anew: Lightning takes this for one that was cut off in its first batch.
            progress = checkpoint["loops"]["fit_loop"][_VALIDATION]
            checkpoint["loops"]["fit_loop"][_VALIDATION] = {
                **progress,
                "total": {**progress["total"], **_FIRST_BATCH},
                "current": {**progress["current"], **_FIRST_BATCH},
                "is_last_batch": False,
            }

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        validation = trainer.fit_loop.epoch_loop.val_loop
        if validation.restarted_mid_evaluation:  # it begins anew: its first batch does not count twice
            validation.batch_progress.reset()
        self._stopping.waits = trainer.world_size == 1  # else the others would wait for this one's next batch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._due:
            self._write(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Not after the last batch: Lightning would go on with the next epoch, and leave out the validation.
        if self._stopping.is_asked and not trainer.is_last_batch and not trainer.fit_loop._should_accumulate():
            loss = float(outputs["loss"])
            if not math.isfinite(loss):
                raise Diverged(f"train/loss became {loss} in epoch {trainer.current_epoch + 1}")
            self._take(trainer, LAST)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._stopping.is_asked and self._stopping.waits:
            self._validating = True
            self._take(trainer, LAST)
            self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = float(trainer.callback_metrics[CHOSEN_ON])
        if value > self.best_value:
            self.best_epoch, self.best_value = trainer.current_epoch, value
            self._take(trainer, BEST, LAST)
        else:
            self._take(trainer, LAST)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)
        self._stopping.waits = False

    def _take(self, trainer: pl.Trainer, *names: str) -> None:
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)  # into `held`
        self._due = names

    def _write(self, trainer: pl.Trainer) -> None:
        due, self._due = self._due, ()
        if due:
            self._tell()
        board = writer(trainer)
        if due and board is not None:
            board.flush()
        if trainer.is_global_zero:
            for name in due:
                assert self._held.held is not None
                write(self.folder / name, self._held.held)
        self._held.held = None
        if due:
            trainer.strategy.barrier("checkpoint")  # the others read it too, at the end
        if self._stopping.is_asked:
            raise Stopped
