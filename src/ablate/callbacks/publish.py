"""Where a callback's picture goes: TensorBoard, and a file in the run directory."""

import re
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from PIL import Image

from ablate.board import step, writer
from ablate.explain.canvas import save


def to_board(trainer: pl.Trainer, tag: str, image: Image.Image) -> None:
    """Nothing happens when the run keeps no event file."""
    board = writer(trainer)
    if board is not None:
        board.add_image(tag, np.asarray(image), step(trainer), dataformats="HWC")


def to_folder(trainer: pl.Trainer, name: str, image: Image.Image) -> None:
    """`name` within the run directory, such as "gradcam/epoch_004.png"."""
    save(image, Path(trainer.default_root_dir) / name)


def slug(name: str) -> str:
    """A class name as a part of a tag: letters, digits, dots and dashes; a slash would open a group."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "unnamed"
