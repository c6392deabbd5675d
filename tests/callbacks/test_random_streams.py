"""What a training step draws from the global generators depends on its place alone."""

import random

import numpy as np
import pytorch_lightning as pl
import torch
from test_record_keeper import classifier, loader, trainer

from ablate.callbacks.random_streams import RandomStreams


class Draws(pl.Callback):
    """Keeps what each step draws; draws `disturbance` numbers more in between, as a careless callback would."""

    def __init__(self, disturbance: int = 0) -> None:
        self.seen: list[tuple[float, float, float]] = []
        self._disturbance = disturbance

    def on_train_batch_start(self, *_) -> None:
        self.seen.append((torch.rand(()).item(), float(np.random.rand()), random.random()))

    def on_train_batch_end(self, *_) -> None:
        torch.rand(self._disturbance)
        np.random.rand(self._disturbance)
        [random.random() for _ in range(self._disturbance)]


def draws(folder, seed: int, disturbance: int = 0) -> list[tuple[float, float, float]]:
    watcher = Draws(disturbance)
    fit = trainer(folder, RandomStreams(seed), watcher, epochs=2)
    fit.fit(classifier(), loader([255, 51, 153], [1, 1, 1], 1), loader([255], [1], 1))
    return watcher.seen


def test_every_step_draws_anew_and_nothing_disturbs_it(tmp_path):
    first = draws(tmp_path, seed=0)
    assert len(set(first)) == 6  # two epochs of three steps, all different
    assert draws(tmp_path, seed=0, disturbance=7) == first
    assert not set(draws(tmp_path, seed=1)) & set(first)
