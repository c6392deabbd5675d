"""A training small enough to be run many times: 48 generated pictures, a network of width 4."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from ablate.board import Board
from ablate.data.source import Pictures
from ablate.model.classifier import Classifier
from ablate.model.resnet import gbn_resnet
from ablate.model.schedule import constant

CLASSES = ("red thing", "green thing", "blue thing")


def pictures(count: int, seed: int) -> Pictures:
    """A square of the class's colour on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
    for i, k in enumerate(labels):
        y, x = rng.integers(0, 20, 2)
        pixels[i, y : y + 12, x : x + 12, k] = 250
    return Pictures(pixels, labels)


class TinyData(pl.LightningDataModule):
    """What callbacks use of a data module."""

    classes, num_classes, image_size, seed = CLASSES, 3, 32, 0

    def __init__(self, num_test: int = 24) -> None:
        super().__init__()
        self.train_pictures, self.val_pictures = pictures(48, 0), pictures(18, 1)
        self.test_pictures = pictures(num_test, 2)

    def train_dataloader(self) -> Any:
        return _loader(self.train_pictures)

    def val_dataloader(self) -> Any:
        return _loader(self.val_pictures)

    def test_dataloader(self) -> Any:
        return _loader(self.test_pictures)


def _loader(given: Pictures) -> Any:
    # Shuffled by the global generator: a callback that draws from it would change the training.
    return DataLoader(TensorDataset(*map(torch.from_numpy, given)), batch_size=8, shuffle=len(given.labels) == 48)


@pytest.fixture(autouse=True)
def _one_thread():
    """The network is too small to be worth two, and the sums come out in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    net = gbn_resnet(18, num_classes=3, width=4, ghost_size=4)
    sgd = partial(torch.optim.SGD, lr=0.02, momentum=0.9, nesterov=True)
    return Classifier(net, mean=[0.4] * 3, std=[0.3] * 3, optimizer=sgd, scheduler=partial(constant))


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., pl.Trainer]:
    """trainer(callback, ..., **settings) -> a Trainer whose run directory is tmp_path."""

    def make(*callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        settings = {"max_epochs": 2, "accelerator": "cpu", "num_sanity_val_steps": 0} | quiet | settings
        return pl.Trainer(default_root_dir=tmp_path, logger=Board(tmp_path), callbacks=list(callbacks), **settings)

    return make


@pytest.fixture
def tiny() -> type[TinyData]:
    return TinyData
