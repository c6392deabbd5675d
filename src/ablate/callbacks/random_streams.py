"""The global random generators, set before every training step to a place of the run's own stream."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from ablate.streams import MovingStream, Stream


class RandomStreams(pl.Callback):
    """What draws from the global generators of torch, NumPy or Python in a training step, dropout for one, draws what
    (seed, epoch, batch, rank) says, whatever drew before it: a callback, another run of the process, a resumed run.
    """

    def __init__(self, seed: int) -> None:
        self._stream = MovingStream(seed, Stream.GLOBAL)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._stream.move_to(trainer.current_epoch, batch_idx * trainer.world_size + trainer.global_rank)
        place = self._stream.numpy.bit_generator.random_raw()
        torch.default_generator.manual_seed(place)  # torch.manual_seed costs 100 times as much: it asks every backend
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(place)
        np.random.seed(place % 2**32)
        random.seed(place)
