"""The training loop of a run against a bare PyTorch loop: same network, loader and batch.

    python benchmarks/training_loop.py [--width 16] [--rounds 9] [--batch 128] [--batches 20]

`loop` is Lightning with the Classifier and nothing else; `run` adds the default callbacks, the record and TensorBoard.
A round is one epoch of 20 batches of 128 generated pictures; the first epoch of each loop, a warm-up, is not counted.
An epoch is timed from its start to its last batch. What is drawn at its end is timed in `gradcam.py`.
"""

import argparse
import logging
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from conditions import alternate, print_conditions
from table import Row, markdown
from torch.nn import functional as F

from ablate.callbacks.throughput import Throughput
from ablate.config.plan import compose
from ablate.config.targets import instantiate
from ablate.data.augment import Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.shapes import Shapes
from ablate.model.classifier import Classifier
from ablate.model.resnet import gbn_resnet
from ablate.model.schedule import one_cycle

CONF = Path(__file__).parents[1] / "conf"


@dataclass(frozen=True)
class Size:
    """A network's width, pictures a batch, batches an epoch."""

    width: int = 16
    batch: int = 128
    batches: int = 20

    @property
    def num_train(self) -> int:
        """Pictures, with the tenth that is for validation."""
        return round(self.batch * self.batches / 0.9) + 1


def make_data(size: Size) -> ClassificationData:
    nodes = compose(CONF, ["augmentation=crop_flip"]).augmentation
    train, test = ({name: instantiate(node, []) for name, node in side.items()} for side in (nodes.train, nodes.test))
    data = ClassificationData(
        Shapes(num_train=size.num_train, num_test=128),
        Augmentation(train, test, image_size=32),
        batch_size=size.batch,
        val_fraction=0.1,
        num_workers=0,
        seed=0,
    )
    data.setup("fit")
    return data


def make_classifier(width: int, data: ClassificationData) -> Classifier:
    return Classifier(
        gbn_resnet(18, num_classes=data.num_classes, width=width),
        mean=data.augmentation.mean,
        std=data.augmentation.std,
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        scheduler=partial(one_cycle, max_lr=0.1),
    )


def bare_loop(width: int, data: ClassificationData) -> float:
    """Pictures a second of the second epoch."""
    classifier = make_classifier(width, data).train()
    net, loader = classifier.net, data.train_dataloader()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = one_cycle(optimizer, total_steps=2 * len(loader), num_epochs=2, max_lr=0.1)
    speed = 0.0
    for _epoch in range(2):
        start, pictures = time.perf_counter(), 0
        for images, labels in loader:
            loss = F.cross_entropy(net(classifier.normalize(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            pictures += len(labels)
        speed = pictures / (time.perf_counter() - start)
    return speed


def lightning_loop(width: int, data: ClassificationData) -> float:
    throughput = Throughput()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        callbacks=[throughput],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    trainer.fit(make_classifier(width, data), train_dataloaders=data.train_dataloader())
    return throughput.images_per_second[-1]


def whole_run(size: Size) -> float:
    """The same through `run`: the median epoch of three, with what a user gets by default."""
    from ablate.run import run  # here: the bare loop's memory is measured without it

    config = compose(
        CONF,
        [
            "data=shapes",
            f"data.source.num_train={size.num_train}",
            "data.source.num_test=128",
            f"data.batch_size={size.batch}",
            "augmentation=crop_flip",
            f"model.width={size.width}",
            "trainer.max_epochs=3",
            "trainer.accelerator=cpu",
            "~callbacks.progress",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        speed = run(config, Path(folder), {}).images_per_second
    assert speed is not None
    return speed


def speeds(size: Size, rounds: int) -> dict[str, list[float]]:
    """Training pictures a second, by round, of the bare loop, of Lightning with the Classifier, of a whole run."""
    logging.disable(logging.WARNING)
    data = make_data(size)
    loops = {
        "bare": lambda: bare_loop(size.width, data),
        "loop": lambda: lightning_loop(size.width, data),
        "run": lambda: whole_run(size),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return alternate(loops, rounds)


def rows(name: str, size: Size, rounds: int) -> list[Row]:
    measured = speeds(size, rounds)
    return [
        Row(f"training loop, {name} network", measured["loop"], measured["bare"], "pictures/s", at_least=0.98),
        Row(f"callbacks and record, {name} network", measured["run"], measured["loop"], "pictures/s", at_least=0.97),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=20)
    given = parser.parse_args()
    size = Size(given.width, given.batch, given.batches)
    print_conditions(f"python benchmarks/training_loop.py --width {given.width} --rounds {given.rounds}")
    print(markdown(rows(f"width {given.width}", size, given.rounds)))


if __name__ == "__main__":
    main()
