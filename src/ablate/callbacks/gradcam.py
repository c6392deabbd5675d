"""Grad-CAM of the same few validation pictures, every few epochs."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from ablate.board import step, writer
from ablate.callbacks.publish import slug, to_board, to_folder
from ablate.errors import Problem, UserError
from ablate.explain.choice import balanced_choice
from ablate.explain.maps import check_layers, completeness
from ablate.explain.methods import ADDING_UP, layer_names, layer_problems, method_problems
from ablate.explain.panel import panel, sheet
from ablate.explain.shown import shared_scale, show

log = logging.getLogger(__name__)

KEY = "callbacks.gradcam."


class GradCam(pl.Callback):
    """A panel a picture to TensorBoard (`gradcam/07_ship`), all of them to `gradcam/epoch_004.png`.

    The pictures are chosen from the validation pictures by the run's seed, balanced over the classes: runs of one seed
    show the same ones. Drawn after epoch 0, every `every_n_epochs` from there, and after the last one. `shared_scale`
    draws all maps of a layer on one scale, so that faint ones look faint; else each is drawn up to its own maximum.

    Logs `explain/completeness`: the largest distance, in logits, between the last layer's map added up and the logit it
    should give. It is rounding error for a network that ends in mean pooling and one linear layer.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("layer1", "layer2", "layer3", "layer4"),
        method: str = "gradcam",
        every_n_epochs: int = 4,
        num_images: int = 10,
        shared_scale: bool = False,
    ) -> None:
        self.layers, self.method, self.shared_scale = list(layers), method, shared_scale
        self.every_n_epochs, self.num_images = every_n_epochs, num_images
        self._drawn = self._finished = -1  # epochs

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        net: Any = pl_module.net
        found = method_problems(self.method, f"{KEY}method", training=True)
        found += layer_problems(net, self.layers, f"{KEY}layers")
        for name, value in {"every_n_epochs": self.every_n_epochs, "num_images": self.num_images}.items():
            if value < 1:
                found.append(Problem(f"{KEY}{name}={value}", "a whole number of at least 1", f"{KEY}{name}=5"))
        UserError.raise_all(found)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        pictures = data.val_pictures
        chosen = balanced_choice(pictures.labels, self.num_images, data.seed)
        self._pixels, self._labels = pictures.pixels[chosen], pictures.labels[chosen]
        self._classes: Sequence[str] = data.classes
        self._drawn = self._finished = -1
        # A layer that has no maps to show is named now, and not after the first epoch.
        net: Any = pl_module.net
        check_layers(net, self._images(pl_module)[:1], self.layers)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finished = trainer.current_epoch
        if self._finished % self.every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._drawn < self._finished:
            self._draw(trainer, pl_module)

    @rank_zero_only
    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._drawn = self._finished
        module: Any = pl_module
        images = self._images(pl_module)
        shown, explanation = show(module.net, self._pixels, images, None, self._labels, self.layers, self.method)
        scale = shared_scale(shown) if self.shared_scale else None
        panels = [panel(each, self._classes, f"epoch {self._drawn} · {self.method}", scale) for each in shown]
        for number, (each, image) in enumerate(zip(shown, panels, strict=True)):
            assert each.label is not None
            to_board(trainer, f"gradcam/{number:02d}_{slug(self._classes[each.label])}", image)
        to_folder(trainer, f"gradcam/epoch_{self._drawn:03d}.png", sheet(panels))
        last = layer_names(module.net)[-1]
        board = writer(trainer)
        if board is not None and self.method in ADDING_UP and last in self.layers:
            residual = np.abs(completeness(module.net, images, explanation, last)).max()
            board.add_scalar("explain/completeness", residual, step(trainer))

    def _images(self, pl_module: Any) -> Tensor:
        with torch.no_grad():
            images: Tensor = pl_module.normalize(torch.from_numpy(self._pixels).to(pl_module.device))
        return images
