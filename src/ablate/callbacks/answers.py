"""What the network answered to the test set, kept until the whole of it has been asked.  N pictures, K classes."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor


class Answers:
    """Fill it with `add` from `on_test_batch_end`; read it once."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, outputs: Any) -> None:
        self._logits.append(outputs["logits"].detach().float().cpu())
        self._labels.append(outputs["labels"].detach().cpu())

    def take(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Probabilities (N, K) and labels (N,), and forget them."""
        probabilities = np.concatenate([logits.softmax(1).numpy() for logits in self._logits])
        labels = np.concatenate([labels.numpy() for labels in self._labels])
        self._logits, self._labels = [], []
        return probabilities, labels
