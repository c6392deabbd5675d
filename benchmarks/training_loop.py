"""The training loop of a run against a bare PyTorch loop: same network, loader and batch.

    python benchmarks/training_loop.py [--width 16] [--batch 128] [--batches 60] [--launches 6]

`loop` is Lightning with the Classifier and nothing else; `run` adds the default callbacks, the record and TensorBoard.
The three take turns (`turns.py`) of one batch, for `--batches` of one epoch after a warm-up. Two threads each on two
cores, as a user's. All three have what commands set (`ablate.processes.lifetime.prepare`): threads that wait sleep, and
freed memory is kept.

A process's memory has the layout that it got; so the three are launched anew several times, and a launch gives one
ratio. `--same` has the bare loop in the place of all three: how far from 1 chance alone comes.

Counted: all between the start of a batch and that of the next. `run` logs every tenth batch, so that a time is the mean
of ten, each the median of those at its place; where fewer than thirty are counted (the full network, whose batch takes
hundreds of times as long as its logging) the median of all. Not counted: start, and the end of an epoch with its
validation and drawings (`gradcam.py`). The checkpoint, taken when an epoch ends and written when the next begins, has a
row of its own: seconds of both files, of an epoch that is the best so far, against those of 45,000 training pictures.
"""

import argparse
import logging
import multiprocessing
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from conditions import Stolen, print_conditions
from table import Row, markdown
from torch.nn import functional as F
from turns import Taken, at_batch, take_turns

from ablate.config.plan import compose
from ablate.config.targets import instantiate
from ablate.data.augment import Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.shapes import Shapes
from ablate.model.classifier import Classifier
from ablate.model.resnet import gbn_resnet
from ablate.model.schedule import one_cycle
from ablate.processes.lifetime import prepare

CONF = Path(__file__).parents[1] / "conf"
WARM_UP = 5  # batches
LOGGED = 10  # `run` logs every so many batches
EPOCH = 45_000  # training pictures of CIFAR-10


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


def bare_loop(width: int, data: ClassificationData, num_epochs: int = 2) -> None:
    classifier = make_classifier(width, data).train()
    net, loader = classifier.net, data.train_dataloader()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    total_steps = num_epochs * len(loader)
    scheduler = one_cycle(optimizer, total_steps=total_steps, num_epochs=num_epochs, max_lr=0.1)
    for _epoch in range(num_epochs):
        for images, labels in loader:
            at_batch()
            loss = F.cross_entropy(net(classifier.normalize(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()


def lightning_loop(width: int, data: ClassificationData) -> None:
    from turn_callback import TakesTurns

    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[TakesTurns()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    trainer.fit(make_classifier(width, data), train_dataloaders=data.train_dataloader())


def bare(size: Size) -> None:
    with _quiet():
        bare_loop(size.width, make_data(size), num_epochs=1)


def loop(size: Size) -> None:
    with _quiet():
        lightning_loop(size.width, make_data(size))


def whole_run(size: Size, folder: Path) -> float:
    """With what a user gets by default. Seconds of a checkpoint, when the turns are over."""
    import turn_callback

    from ablate.run import run

    config = compose(
        CONF,
        [
            "data=shapes",
            f"data.source.num_train={size.num_train}",
            "data.source.num_test=128",
            f"data.batch_size={size.batch}",
            "augmentation=crop_flip",
            f"model.width={size.width}",
            "trainer.max_epochs=1",
            "trainer.accelerator=cpu",
            "~callbacks.progress",
            "allow_targets=[turn_callback]",
            "+callbacks.turns._target_=turn_callback.TakesTurns",
        ],
    )
    with _quiet():
        record = run(config, folder, {})
    if record.status == "failed":
        raise RuntimeError(record.error)
    return turn_callback.checkpoint_seconds


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def measure(width: int, batch: int, batches: int, *, same: bool = False) -> dict[str, Taken]:
    """Of the bare loop, of Lightning with the Classifier, of a whole run: so many batches of one epoch."""
    prepare()
    multiprocessing.set_forkserver_preload(["ablate.run"])  # imported once, not once a process
    size = Size(width, batch, WARM_UP + batches + 2)  # Lightning reads a batch ahead: the last two are not like others
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            "bare": partial(bare, size),
            "loop": partial(loop, size),
            "run": partial(whole_run, size, Path(folder)),
        }
        return take_turns(dict.fromkeys(loops, loops["bare"]) if same else loops, batches, WARM_UP)


def rows(name: str, width: int, batch: int, *, batches: int, launches: int, same: bool = False) -> list[Row]:
    """Ratios by launch, each of so many batches of `batch` pictures."""
    launched = [measure(width, batch, batches, same=same) for _ in range(launches)]
    period = LOGGED if batches >= 3 * LOGGED else 1
    speed = {each: [batch / taken[each].typical(period) for taken in launched] for each in launched[0]}
    found = [
        Row(f"training loop, {name} network", speed["loop"], speed["bare"], "pictures/s", at_least=0.98),
        Row(f"callbacks and record, {name} network", speed["run"], speed["loop"], "pictures/s", at_least=0.97),
    ]
    if not same:
        checkpoints = [taken["run"].returned for taken in launched]
        epochs = [EPOCH / of_run for of_run in speed["run"]]
        found.append(Row(f"checkpoint of an epoch, {name} network", checkpoints, epochs, "s"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=60, help="a launch")
    parser.add_argument("--launches", type=int, default=6)
    parser.add_argument("--same", action="store_true", help="three bare loops: how far from 1 chance alone comes")
    given = parser.parse_args()
    counts = {"batches": given.batches, "launches": given.launches}
    words = " ".join(f"--{name} {n}" for name, n in {"width": given.width, "batch": given.batch, **counts}.items())
    print_conditions(f"python benchmarks/training_loop.py {words}{' --same' * given.same}")
    stolen = Stolen()
    print(markdown(rows(f"width {given.width}", given.width, given.batch, **counts, same=given.same)))
    print(f"of the processors other machines had {stolen}")


if __name__ == "__main__":
    main()
