"""What goes in: training pictures as they are, and as the network gets them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from ablate.callbacks.publish import slug, to_board, to_folder
from ablate.data.dataset import PictureSet
from ablate.errors import UserError
from ablate.explain.canvas import GAP, GREY, INK, Span, below, beside, framed, grid, line, picture
from ablate.explain.choice import balanced_choice
from ablate.explain.panel import enlarged

NUM_EPOCHS = 4  # shown beside each other
MANY = 20  # classes; above it one picture of each is enough
_TARGET_SIZE = 96  # pixels

Pixels = npt.NDArray[np.uint8]


class PicturesIn(pl.Callback):
    """Before training: a panel a class, to TensorBoard (`pictures_in/07_ship`) and all in `pictures_in.png`.

    A row is one training picture: as it is, then as it comes out of the augmentation in epochs 0 to 3. These are the
    very draws of the training: a picture's draws depend on the seed, the epoch and its place in the data alone.
    """

    def __init__(self, num_images: int = 3) -> None:
        if num_images < 1:
            key = "callbacks.pictures_in.num_images"
            raise UserError.of(f"{key}={num_images}", "a whole number of at least 1", f"{key}=3")
        self.num_images = num_images  # of a class

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path is not None:
            return  # the training goes on: they are shown already
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        classes, labels = data.classes, data.train_pictures.labels
        each = 1 if len(classes) > MANY else self.num_images
        chosen = balanced_choice(labels, each * len(classes), data.seed)
        seen = PictureSet(data.train_pictures, data.augmentation.train, data.seed)
        epochs = [seen.__getitems__([(epoch, int(i)) for i in chosen])[0].numpy() for epoch in range(NUM_EPOCHS)]
        columns = np.stack([data.train_pictures.pixels[chosen], *epochs], axis=1)  # (count, 1 + epochs, H, W, 3)
        panels = []
        for k, name in enumerate(classes):
            if (labels[chosen] == k).any():
                panels.append(class_panel(name, columns[labels[chosen] == k]))
                to_board(trainer, f"pictures_in/{k:02d}_{slug(name)}", panels[-1])
        body = grid(panels, columns=min(len(panels), 2 if len(classes) <= MANY else 4))
        words = Span(_after_normalisation(pl_module, data.train_pictures.pixels), GREY)
        heading = line(body.width - 2 * GAP, Span("What the network gets", INK, True), end=words, size=15)
        to_folder(trainer, "pictures_in.png", below([framed(heading), body], gap=0))


def class_panel(name: str, columns: Pixels) -> Image.Image:
    """columns (pictures, 1 + epochs, H, W, 3): each picture as it is, then as it is in each epoch."""
    size = enlarged(columns[0, 0], _TARGET_SIZE)
    rows = [beside([picture(pixels, size) for pixels in row], gap=4) for row in columns]
    titles = ["as it is", *(f"epoch {epoch}" for epoch in range(columns.shape[1] - 1))]
    captions = beside([line(size[0], Span(title, GREY), size=11) for title in titles], gap=4)
    heading = line(captions.width, Span(name, INK, True), size=15)
    return framed(below([heading, captions, *rows], gap=4))


def _after_normalisation(pl_module: Any, pixels: Pixels) -> str:
    """Of a thousand pictures or so: near 0 and 1, or the mean and std in the augmentation belong to other pictures."""
    some = np.ascontiguousarray(pixels[:: max(1, len(pixels) // 1000)])
    with torch.no_grad():
        images = pl_module.normalize(torch.from_numpy(some).to(pl_module.device))
    mean, std = round(float(images.mean()), 2) + 0.0, float(images.std())  # + 0.0: no "-0.00"
    return f"pixels after normalising: mean {mean:.2f}, standard deviation {std:.2f}"
