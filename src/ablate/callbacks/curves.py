"""Loss and accuracy over the epochs, as one picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from ablate.board import step, writer

LINES = {"train": ("#0072B2", "-"), "val": ("#D55E00", "--")}  # Okabe and Ito's palette, and readable without colour


class Curves(pl.Callback):
    """Draws `curves.png` in the run directory, and in TensorBoard, when training ends."""

    def __init__(self) -> None:
        self._history: dict[str, list[tuple[int, float]]] = {}  # "val/loss" -> (epoch from 1, value)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._history = {f"{split}/{name}": [] for name in ("loss", "accuracy") for split in LINES}

    def state_dict(self) -> dict[str, Any]:
        return {name: [list(point) for point in points] for name, points in self._history.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._history = {name: [(epoch, value) for epoch, value in points] for name, points in state_dict.items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, points in self._history.items():
            if name in trainer.callback_metrics:
                points.append((trainer.current_epoch + 1, float(trainer.callback_metrics[name])))

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figure = draw(self._history)
        path = Path(trainer.default_root_dir) / "curves.png"
        figure.savefig(path)
        board = writer(trainer)
        if board is not None:
            image = np.asarray(Image.open(path).convert("RGB"))
            board.add_image("curves", image, step(trainer), dataformats="HWC")


def draw(history: dict[str, list[tuple[int, float]]]) -> Figure:
    """Two panels, loss and accuracy, with a line a split. No pyplot: its figures would outlive the run."""
    figure = Figure(figsize=(9, 3.4), dpi=120, layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, (colour, style) in LINES.items():
            epochs, values = zip(*history[f"{split}/{name}"], strict=True) if history[f"{split}/{name}"] else ((), ())
            axes.plot(epochs, values, style, color=colour, marker="o", markersize=3, label=split)
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False)
    return figure
