"""What looking costs: Grad-CAM while training, and everything that is drawn at the end of a run.

    python benchmarks/gradcam.py FOLDER [--width 16] [--rounds 5]

FOLDER holds real pictures as `train/<class>/*` and `test/<class>/*`. A round is a short training on 2,560 of them and a
test of all. The share is of an epoch of 45,000 pictures at the speed of the same round.
"""

import argparse
import contextlib
import io
import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from conditions import print_conditions, summary

from ablate.board import Board
from ablate.callbacks.calibration import Calibration
from ablate.callbacks.confusion import Confusion
from ablate.callbacks.gradcam import GradCam
from ablate.callbacks.misclassified import Misclassified
from ablate.callbacks.pictures_in import PicturesIn
from ablate.callbacks.trust_card import TrustCard
from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.folder import ImageFolder
from ablate.data.source import Pictures
from ablate.model.classifier import Classifier
from ablate.model.resnet import gbn_resnet
from ablate.model.schedule import constant

BATCH, BATCHES, EPOCH, PERIOD = 128, 20, 45_000, GradCam().every_n_epochs


class Timed:
    """Seconds spent in all hooks of a callback."""

    def __init__(self, callback: pl.Callback) -> None:
        self.callback, self.seconds = callback, 0.0
        for name in ("on_fit_start", "on_train_epoch_end", "on_train_end", "on_test_batch_end", "on_test_epoch_end"):
            self._time(name)
        self._time("on_test_end")

    def _time(self, name: str) -> None:
        hook = getattr(self.callback, name)

        def timed(*arguments: Any, **options: Any) -> None:
            start = time.perf_counter()
            hook(*arguments, **options)
            self.seconds += time.perf_counter() - start

        setattr(self.callback, name, timed)


class Batches(pl.Callback):
    """Pictures a second, the first two batches left out."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            self._start = time.perf_counter()
        self.pictures_per_second = batch_idx and (batch_idx - 1) * BATCH / max(1e-9, time.perf_counter() - self._start)


class Kept:
    """A source read once."""

    def __init__(self, folder: str) -> None:
        source = ImageFolder(folder)
        self.classes, self.image_size = source.classes, source.image_size
        train = source.train()
        step = max(1, len(train.labels) * 9 // 10 // (BATCH * BATCHES))
        self._train, self._test = train.take(slice(None, None, step)), source.test()

    def train(self) -> Pictures:
        return self._train

    def test(self) -> Pictures:
        return self._test


def one_round(source: Kept, width: int) -> tuple[float, dict[str, float]]:
    """Pictures a second in training, and seconds by callback."""
    last = {"normalize": A.Normalize((0.5,) * 3, (0.5,) * 3), "tensor": A.ToTensorV2()}
    data = ClassificationData(
        source,
        Augmentation({"flip": A.HorizontalFlip(), **last}, last, image_size=source.image_size),
        batch_size=BATCH,
        val_fraction=0.1,
        seed=0,
    )
    net = gbn_resnet(18, num_classes=len(source.classes), width=width)
    sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    classifier = Classifier(net, mean=[0.5] * 3, std=[0.5] * 3, optimizer=sgd, scheduler=partial(constant))
    looking = {
        "Grad-CAM, one drawing": Timed(GradCam()),
        "pictures in": Timed(PicturesIn()),
        "misclassified": Timed(Misclassified()),
        "confusion": Timed(Confusion()),
        "calibration": Timed(Calibration()),
        "trust card": Timed(TrustCard()),
    }
    speed = Batches()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = pl.Trainer(
            default_root_dir=folder,
            logger=Board(Path(folder)),
            callbacks=[speed, *(each.callback for each in looking.values())],
            max_epochs=1,
            limit_train_batches=BATCHES,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
        )
        trainer.fit(classifier, datamodule=data)
        trainer.test(classifier, datamodule=data, verbose=False)
    return speed.pictures_per_second, {name: each.seconds for name, each in looking.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    print_conditions(f"python benchmarks/gradcam.py FOLDER --width {given.width} --rounds {given.rounds}")
    source = Kept(given.folder)
    print(f"{len(source.classes)} classes, {len(source.test().labels):,} test pictures of {source.image_size} pixels")
    one_round(source, given.width)  # imports and caches
    rounds = [one_round(source, given.width) for _ in range(given.rounds)]
    for name in rounds[0][1]:
        print(f"{name:22s} {summary([seconds[name] for _, seconds in rounds])} s")
    shares = [100 * seconds["Grad-CAM, one drawing"] / PERIOD / (EPOCH / speed) for speed, seconds in rounds]
    print(f"training               {summary([speed for speed, _ in rounds], 0)} pictures/s")
    print(f"Grad-CAM's share       {summary(shares)} % of an epoch of {EPOCH:,}, drawn every {PERIOD} epochs")
