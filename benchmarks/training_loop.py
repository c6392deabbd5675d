"""The training loop of a run against a bare PyTorch loop: same network, loader and batch.

    python benchmarks/training_loop.py [--width 16] [--rounds 9]

`loop` is Lightning with the Classifier and nothing else; `run` adds the default callbacks, the record and TensorBoard.
A round is one epoch of 20 batches of 128 generated pictures; the first epoch of each loop, a warm-up, is not counted.
"""

import argparse
import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from conditions import alternate, print_conditions, ratios, summary
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
from ablate.run import run

BATCH, BATCHES = 128, 20
CONF = Path(__file__).parents[1] / "conf"


def make_data() -> ClassificationData:
    nodes = compose(CONF, ["augmentation=crop_flip"]).augmentation
    train, test = ({name: instantiate(node, []) for name, node in side.items()} for side in (nodes.train, nodes.test))
    data = ClassificationData(
        Shapes(num_train=round(BATCH * BATCHES / 0.9) + 1, num_test=128),
        Augmentation(train, test, image_size=32),
        batch_size=BATCH,
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


def whole_run(width: int) -> float:
    """The same through `run`: the median epoch of three, with what a user gets by default."""
    config = compose(
        CONF,
        [
            "data=shapes",
            f"data.source.num_train={round(BATCH * BATCHES / 0.9) + 1}",
            "augmentation=crop_flip",
            f"model.width={width}",
            "trainer.max_epochs=3",
            "trainer.accelerator=cpu",
            "~callbacks.progress",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        speed = run(config, Path(folder), {}).images_per_second
    assert speed is not None
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    data, width = make_data(), arguments.width
    speeds = alternate(
        {
            "bare": lambda: bare_loop(width, data),
            "loop": lambda: lightning_loop(width, data),
            "run": lambda: whole_run(width),
        },
        arguments.rounds,
    )
    print_conditions(f"python benchmarks/training_loop.py --width {width} --rounds {arguments.rounds}")
    print(f"bare PyTorch loop, width {width}: {summary(speeds['bare'], 0)} pictures/s")
    for name in ("loop", "run"):
        print(f"{name:4s}: {summary(ratios(speeds[name], speeds['bare']), 3)} of the bare loop's pictures/s")


if __name__ == "__main__":
    main()
