"""The most confident mistakes of the test set."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from ablate.callbacks.publish import to_board, to_folder
from ablate.errors import Problem, UserError
from ablate.explain.gallery import gallery
from ablate.explain.maps import explain
from ablate.explain.methods import layer_names, layer_problems, method_problems
from ablate.explain.shown import Shown

KEY = "callbacks.misclassified."


class Mistake(NamedTuple):
    probabilities: npt.NDArray[np.float32]  # (K,), as in the test
    number: int  # place in the test set
    label: int
    pixels: npt.NDArray[np.uint8]  # (H, W, 3)

    @property
    def confidence(self) -> float:
        return float(self.probabilities.max())


class Misclassified(pl.Callback):
    """Writes `misclassified.png`, and the same to TensorBoard, after the test: five in a row, the surest first.

    Beneath each mistake is the evidence for the class that it was taken for, at `layer` (by default the last).
    """

    def __init__(self, num_images: int = 25, layer: str | None = None, method: str = "gradcam") -> None:
        self.num_images, self.layer, self.method = num_images, layer, method
        self._worst: list[Mistake] = []
        self._num_wrong = self._num_tested = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        net: Any = pl_module.net
        found = method_problems(self.method, f"{KEY}method", training=True)
        found += layer_problems(net, self.layer or layer_names(net)[-1], f"{KEY}layer")
        if self.num_images < 1:
            allowed = "a whole number of at least 1"
            found.append(Problem(f"{KEY}num_images={self.num_images}", allowed, f"{KEY}num_images=25"))
        UserError.raise_all(found)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._worst, self._num_wrong, self._num_tested = [], 0, 0

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        pictures, labels = batch
        probabilities = outputs["logits"].float().softmax(1).cpu().numpy()
        wrong = (probabilities.argmax(1) != labels.cpu().numpy()).nonzero()[0]
        for i in wrong.tolist():
            if len(self._worst) == self.num_images and probabilities[i].max() <= self._worst[-1].confidence:
                continue
            mistake = Mistake(probabilities[i], self._num_tested + i, int(labels[i]), pictures[i].cpu().numpy())
            self._worst = sorted([*self._worst, mistake], key=lambda m: (-m.confidence, m.number))[: self.num_images]
        self._num_wrong += len(wrong)
        self._num_tested += len(labels)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        layer = self.layer or layer_names(module.net)[-1]
        pairs = []
        if self._worst:
            pixels = np.stack([mistake.pixels for mistake in self._worst])
            with torch.no_grad():
                images = module.normalize(torch.from_numpy(pixels).to(pl_module.device))
            predicted = [int(mistake.probabilities.argmax()) for mistake in self._worst]
            maps = explain(module.net, images, predicted, [layer], self.method).maps[layer]
            for mistake, k, values in zip(self._worst, predicted, maps, strict=True):
                shown = Shown(mistake.pixels, mistake.label, mistake.probabilities, {k: {layer: values}})
                pairs.append((mistake.number, shown))
        image = gallery(pairs, data.classes, layer, self._num_wrong, self._num_tested)
        to_board(trainer, "misclassified/most_confident", image)
        to_folder(trainer, "misclassified.png", image)
        self._worst.clear()
