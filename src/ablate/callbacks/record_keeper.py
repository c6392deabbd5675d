"""Keeps the run record, `metrics.csv` and `predictions.npz` true while a run goes on."""

import csv
import io
import logging
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from ablate.callbacks.answers import KeepsAnswers
from ablate.record import RunRecord, write_atomically

log = logging.getLogger(__name__)

Row = dict[str, float]


class RecordKeeper(KeepsAnswers):
    """Writes a row of `metrics.csv` and the record after every epoch, and the predictions after the test.

    `rows`: one mapping an epoch: epoch (from 0), step (optimizer updates so far), seconds (since training started,
    validation included) and every logged epoch mean, such as "val/accuracy".
    """

    def __init__(self, record: RunRecord, folder: Path) -> None:
        self.rows: list[Row] = []
        self._record, self._folder = record, folder
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        place = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        self.rows.append({**place, "seconds": time.monotonic() - self._started, **metrics})
        if not trainer.is_global_zero:
            return
        write_atomically(self._folder / "metrics.csv", _as_csv(self.rows))
        shown = "  ".join(f"{name} {value:.6g}" for name, value in sorted(metrics.items()))
        log.debug("epoch %d/%d  %s", trainer.current_epoch + 1, trainer.max_epochs, shown)
        self._record.artifacts["metrics"] = "metrics.csv"
        self._record.epochs = trainer.current_epoch + 1
        self._record.write(self._folder)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        probabilities, labels = self.take_answers()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, label=labels, predicted=probabilities.argmax(1), probability=probabilities.max(1))
        write_atomically(self._folder / "predictions.npz", buffer.getvalue())
        self._record.artifacts["predictions"] = "predictions.npz"


def _as_csv(rows: list[Row]) -> str:
    """One line a row; the columns are those of all rows, the place in training first, then by name."""
    place = ["epoch", "step", "seconds"]
    names = sorted({name for row in rows for name in row} - set(place))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*place, *names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
