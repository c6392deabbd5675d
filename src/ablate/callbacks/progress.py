"""Progress on the terminal: a live bar, and one line an epoch that stays."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

REFRESH_SECONDS = 0.25  # reading the loss waits for a GPU: seldom enough not to cost


class Progress(ProgressBar):
    """Epoch, loss, accuracy, pictures a second and the time left. Off a terminal only the line an epoch is printed."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(highlight=False)
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._enabled = True
        self._epoch_started = self._last_refresh = 0.0
        self._num_pictures = 0
        self._speed = 0.0

    def disable(self) -> None:  # Lightning calls it on every rank but the first
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_started, self._num_pictures = time.monotonic(), 0
        if not (self._enabled and self._console.is_terminal):
            return
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            transient=True,
        )
        total = float(trainer.num_training_batches) * (trainer.max_epochs or 1)
        self._task = self._bar.add_task("training", total=total, completed=trainer.global_step, state="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_started, self._num_pictures = time.monotonic(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._num_pictures += len(batch[1]) * trainer.world_size
        now = time.monotonic()
        if now - self._last_refresh < REFRESH_SECONDS and not trainer.is_last_batch:
            return
        self._last_refresh = now
        self._speed = self._num_pictures / (now - self._epoch_started)
        if self._bar is not None:
            done = trainer.current_epoch * trainer.num_training_batches + batch_idx + 1
            state = f"loss {float(outputs['loss']):.3f}  {self._speed:,.0f} images/s"
            self._bar.update(self._task, completed=done, description=_epoch(trainer), state=state)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._enabled:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        parts = [_epoch(trainer)]
        for split in ("train", "val"):
            if f"{split}/loss" in metrics:
                loss, accuracy = metrics[f"{split}/loss"], metrics[f"{split}/accuracy"]
                parts.append(f"{split} loss {loss:6.3f}  accuracy {accuracy:7.2%}")
        parts.append(f"{self._speed:,.0f} images/s")
        (self._bar.console if self._bar is not None else self._console).print("   ".join(parts), soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _epoch(trainer: pl.Trainer) -> str:
    width = len(str(trainer.max_epochs))
    return f"epoch {trainer.current_epoch + 1:{width}}/{trainer.max_epochs}"
