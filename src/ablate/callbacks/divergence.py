"""Ends a training whose loss is no number any more."""

import math

import pytorch_lightning as pl


class Diverged(Exception):  # noqa: N818 (an outcome, not an error of the program)
    """A loss became NaN or infinite: what would come after is no training."""


class Divergence(pl.Callback):
    """Looks at the losses of every epoch, before anything is made of them: the checkpoint before stays the last.

    Once an epoch, for to look after every step would make a GPU wait.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name in ("train/loss", "val/loss"):
            value = float(trainer.callback_metrics.get(name, 0.0))
            if not math.isfinite(value):
                raise Diverged(f"{name} became {value} in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")
