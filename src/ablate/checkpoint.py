"""Checkpoints that are whole or absent, and that cannot run code when they are loaded."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from ablate.record import write_atomically

CHOSEN_ON = "val/accuracy"


class AtomicCheckpointIO(CheckpointIO):
    """Writes through a temporary file in the same folder, fsync and rename; reads with weights_only=True.

    Lightning's own writer goes through $TMPDIR: a kill during the move to another file system leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(path, buffer.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The checkpoint at `path`: tensors and plain values only; anything else is refused by torch."""
    content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    return content


def best_and_last(folder: Path) -> ModelCheckpoint:
    """Keeps `best.ckpt`, the first epoch with the highest validation accuracy, and `last.ckpt`, once an epoch."""
    return ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor=CHOSEN_ON,
        mode="max",
        save_top_k=1,
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
