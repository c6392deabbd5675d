"""What the network answered to the test set, kept until the whole of it has been asked.  N pictures, K classes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
from torch import Tensor


class KeepsAnswers(pl.Callback):
    """A callback that looks at all answers to the test set at once: `take_answers` when the test ends."""

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._logits.append(outputs["logits"].detach().float().cpu())
        self._labels.append(outputs["labels"].detach().cpu())

    def take_answers(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Probabilities (N, K) and labels (N,), and forget them."""
        probabilities = np.concatenate([logits.softmax(1).numpy() for logits in self._logits])
        labels = np.concatenate([labels.numpy() for labels in self._labels])
        self._logits, self._labels = [], []
        return probabilities, labels
