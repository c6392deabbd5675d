"""Keeps the run record, `metrics.csv`, `timings.csv` and `predictions.npz` true while a run goes on."""

import csv
import io
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from ablate.callbacks.answers import KeepsAnswers
from ablate.record import RunRecord, write_atomically

log = logging.getLogger(__name__)

Row = dict[str, float]
TIMES = "throughput/"  # what begins so is told in timings.csv


class RecordKeeper(KeepsAnswers):
    """Writes a row of `metrics.csv` and of `timings.csv` and the record after every epoch, and the predictions after
    the test.

    `rows`: one mapping an epoch: epoch (from 0), step (optimizer updates so far) and every logged epoch mean, such as
    "val/accuracy". `timings`, apart because no two runs have the same: epoch, seconds (of training so far, validation
    included) and what is under throughput/. Both are kept in the checkpoints, so that a training that goes on from one
    has the rows of the epochs before it, and no others.

    tell: hears how far the training is; asked before each write, it raises if the folder is not this run's any more.
    """

    def __init__(self, record: RunRecord, folder: Path, tell: Callable[..., None] = lambda **_: None) -> None:
        self.rows: list[Row] = []
        self.timings: list[Row] = []
        self._record, self._folder, self._tell = record, folder, tell
        self._started = time.monotonic()
        self._seconds_before = 0.0
        self._last_step: Row = {}  # of an epoch, and logged in it: Lightning forgets them in a break before validation

    @property
    def seconds(self) -> float:
        """Of training so far, earlier attempts included as far as they count."""
        return self._seconds_before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": [dict(row) for row in self.rows],
            "timings": [dict(row) for row in self.timings],
            "seconds": self.seconds,
            "last_step": dict(self._last_step),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.timings = list(state_dict["rows"]), list(state_dict["timings"])
        self._seconds_before, self._last_step = state_dict["seconds"], state_dict["last_step"]
        self._started = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic()
        if self.rows and trainer.is_global_zero:  # those of a later epoch are trained again
            self._write()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._tell(
            epoch=trainer.current_epoch + 1,
            epochs=trainer.max_epochs,
            batch=batch_idx + 1,
            batches=int(trainer.num_training_batches),
        )
        if trainer.is_last_batch:
            logged = trainer.callback_metrics.items()
            self._last_step = {name: float(value) for name, value in logged if not name.startswith((TIMES, "val/"))}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = self._last_step | {name: float(value) for name, value in trainer.callback_metrics.items()}
        of_time = {name: value for name, value in metrics.items() if name.startswith(TIMES)}
        others = {name: value for name, value in metrics.items() if not name.startswith(TIMES)}
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **others})
        self.timings.append({"epoch": trainer.current_epoch, "seconds": self.seconds, **of_time})
        if not trainer.is_global_zero:
            return
        self._write()
        if "val/accuracy" in metrics:
            self._tell(val_accuracy=metrics["val/accuracy"])
        shown = "  ".join(f"{name} {value:.6g}" for name, value in sorted(metrics.items()))
        log.debug("epoch %d/%d  %s", trainer.current_epoch + 1, trainer.max_epochs, shown)

    def _write(self) -> None:
        self._tell()
        write_atomically(self._folder / "metrics.csv", as_csv(self.rows, ["epoch", "step"]))
        write_atomically(self._folder / "timings.csv", as_csv(self.timings, ["epoch", "seconds"]))
        self._record.artifacts.update(metrics="metrics.csv", timings="timings.csv")
        self._record.epochs = len(self.rows)
        self._record.write(self._folder)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell()
        probabilities, labels = self.take_answers()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, label=labels, predicted=probabilities.argmax(1), probability=probabilities.max(1))
        write_atomically(self._folder / "predictions.npz", buffer.getvalue())
        self._record.artifacts["predictions"] = "predictions.npz"


def as_csv(rows: list[Row], place: list[str]) -> str:
    """One line a row; the columns are those of all rows, the place in training first, then by name."""
    names = sorted({name for row in rows for name in row} - set(place))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*place, *names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
