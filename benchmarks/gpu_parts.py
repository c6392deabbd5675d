"""What `gpu.py` measures. Everything also runs on a CPU, tiny."""

import csv
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import loader
import pytorch_lightning as pl
import torch
from conditions import alternate
from fresh_process import ROOT, cost
from gpu_layer import DEVICE, called, compiled, ghost_batch_norm_rows, replayed, synchronize
from growth import Generated
from table import Row
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.callbacks.throughput import Throughput
from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.model.classifier import Classifier
from ablate.model.resnet import gbn_resnet
from ablate.model.schedule import one_cycle

MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Part:
    name: str
    measure: Callable[[], list[Row]]
    empty: list[Row]  # its rows, unmeasured


def parts(data: Path | None, *, tiny: bool) -> Iterator[Part]:
    workers = 0 if tiny else min(15, (os.cpu_count() or 2) - 1)
    layers = [Row("GBN, full, bf16 autocast, channels-last, ghosts of 32", at_most=1.05)]
    yield Part("ghost batch norm", lambda: ghost_batch_norm_rows(layers[0], tiny, called), layers)
    alone = [Row("the same, kernels alone (a CUDA graph)", at_most=1.05)]
    yield Part("ghost batch norm, kernels alone", lambda: ghost_batch_norm_rows(alone[0], tiny, replayed), alone)
    fused = [Row("the same through torch.compile, both", at_most=1.05)]
    yield Part("ghost batch norm, compiled", lambda: ghost_batch_norm_rows(fused[0], tiny, compiled), fused)
    rate = [Row("loader, assignment's transforms", unit="pictures/s", at_least=60_000)]
    yield Part("loader", lambda: [loader_row(rate[0], workers, tiny)], rate)
    epoch = [
        Row("epoch of 50,000, full GBN ResNet18", unit="s", at_most=0.8),
        Row("the same against a bare loop, pictures on the GPU", unit="pictures/s", at_least=0.85),
    ]
    yield Part("training loop", lambda: epoch_rows(epoch, workers, tiny), epoch)
    recipe = [
        Row("cifar10_94, set-up to test result", unit="s", at_most=45),
        Row("cifar10_94, training until 87 % validation", unit="s", at_most=6),
        Row("cifar10_94, test accuracy, seed 0", unit="%"),
    ]
    yield Part("cifar10_94", lambda: recipe_rows(recipe, data, tiny), recipe)
    sweep = [Row("2 x 10 seeds, six at once against one after another", unit="runs/min", at_least=1.6)]
    yield Part("sweep", lambda: [sweep_row(sweep[0], tiny)], sweep)
    whole = [Row("training, trainer.compile=true against false", unit="pictures/s"), Row("compilation", unit="s")]
    yield Part("torch.compile", lambda: compile_rows(whole, workers, tiny), whole)


def loader_row(empty: Row, workers: int, tiny: bool) -> Row:
    augmentation = Augmentation({**loader.augmenting(), **loader.finishing()}, loader.finishing())
    data = _data(2_000 if tiny else 200_000, augmentation, 512, workers)
    batches = data.train_dataloader()

    def speed() -> float:
        start, count = time.perf_counter(), 0
        for _, labels in batches:
            count += len(labels)
        return count / (time.perf_counter() - start)

    speed()  # starts the workers
    speeds = [speed() for _ in range(1 if tiny else 5)]
    return Row(f"{empty.what}, {workers} workers", speeds, unit=empty.unit, at_least=empty.at_least)


def epoch_rows(empty: list[Row], workers: int, tiny: bool) -> list[Row]:
    """Ours and the bare loop in turn; an epoch each after one that is not counted."""
    count, batch, width, rounds = (1_000, 450, 2, 1) if tiny else (56_000, 512, 64, 5)
    crops = {"pad": A.PadIfNeeded(40, 40, fill=0), "crop": A.RandomCrop(32, 32), "flip": A.HorizontalFlip()}
    data = _data(count, Augmentation({**crops, **loader.finishing()}, loader.finishing()), batch, workers)
    ways = {"ours": lambda: ours(data, width)[-1], "bare": lambda: bare(data, width, batch)}
    speeds = alternate(ways, rounds)
    seconds = [50_000 / speed for speed in speeds["ours"]]
    return [
        Row(empty[0].what, seconds, unit="s", at_most=empty[0].at_most),
        Row(empty[1].what, speeds["ours"], speeds["bare"], "pictures/s", at_least=empty[1].at_least),
    ]


def compile_rows(empty: list[Row], workers: int, tiny: bool) -> list[Row]:
    """The last of three epochs; what the first takes beyond it is the compiler's."""
    count, batch, width, rounds = (1_000, 450, 1, 1) if tiny else (56_000, 512, 64, 2)
    data = _data(count, Augmentation(loader.finishing(), loader.finishing()), batch, workers)
    epochs = alternate({word: partial(ours, data, width, compile=word == "true") for word in ("true", "false")}, rounds)
    last = {word: [speeds[-1] for speeds in runs] for word, runs in epochs.items()}
    pictures = len(data.train_pictures.labels)
    cold = epochs["true"][0]  # later ones find the compiler's cache
    spent = [pictures / cold[0] - pictures / cold[-1]]
    return [Row(empty[0].what, last["true"], last["false"], "pictures/s"), Row(empty[1].what, spent, unit="s")]


def ours(data: ClassificationData, width: int, *, compile: bool = False) -> list[float]:
    """Pictures a second of each of three epochs of Lightning, the Classifier and the loader."""
    throughput = Throughput()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            max_epochs=3,
            accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed",
            logger=False,
            callbacks=[throughput],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
            use_distributed_sampler=False,
        )
        trainer.fit(_classifier(width, compile=compile), train_dataloaders=data.train_dataloader())
    return throughput.images_per_second


def bare(data: ClassificationData, width: int, batch: int) -> float:
    """The same of a plain loop: pictures on the GPU, crops and mirror images there, nothing logged."""
    classifier = _classifier(width).to(DEVICE).train()
    pictures = data.train_pictures
    pixels, labels = torch.from_numpy(pictures.pixels).to(DEVICE), torch.from_numpy(pictures.labels).to(DEVICE)
    optimizer = _sgd(classifier.net.parameters())
    steps = len(labels) // batch
    scheduler = one_cycle(optimizer, total_steps=3 * steps, num_epochs=3, max_lr=0.4)
    speed = 0.0
    for _epoch in range(3):
        start = synchronize()
        order = torch.randperm(len(labels), device=DEVICE)
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            images = _crop_and_flip(pixels[chosen])
            with torch.autocast(DEVICE.type, torch.bfloat16):
                loss = F.cross_entropy(classifier.net(classifier.normalize(images)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        speed = steps * batch / (synchronize() - start)
    return speed


def recipe_rows(empty: list[Row], data: Path | None, tiny: bool) -> list[Row]:
    if tiny:
        words = ["data=shapes", "data.source.num_train=512", "data.batch_size=64", "model.width=2"]
        words += ["trainer.max_epochs=1", "callbacks=none", "logger=none"]
    elif data:
        words = ["trainer=gpu", "data=image_folder", f"data.root={data.resolve()}"]
    else:
        print("cifar10_94: not measured, --data is missing")
        return empty
    with tempfile.TemporaryDirectory() as folder:
        command = [str(ROOT / "train.py"), "experiment=cifar10_94", *words, f"hydra.run.dir={folder}/run"]
        wall = cost(command, Path(folder)).seconds
        run = Path(folder) / "run"
        reached = _seconds_to(run, 0.87)
        accuracy = 100 * json.loads((run / "run.json").read_text())["metrics"]["test/accuracy"]
    return [
        Row(empty[0].what, [wall], unit="s", at_most=empty[0].at_most),
        Row(empty[1].what, [] if reached is None else [reached], unit="s", at_most=empty[1].at_most),
        Row(empty[2].what, [accuracy], unit="%"),
    ]


def _seconds_to(run: Path, accuracy: float) -> float | None:
    """Seconds of training, with validation, until the validation accuracy was first reached."""
    epochs, times = (csv.DictReader((run / name).read_text().splitlines()) for name in ("metrics.csv", "timings.csv"))
    pairs = zip(epochs, times, strict=True)
    return next((float(time["seconds"]) for epoch, time in pairs if float(epoch["val/accuracy"]) >= accuracy), None)


def sweep_row(empty: Row, tiny: bool) -> Row:
    """The digits, two arms, six runs at once on one GPU."""
    seeds, more = (1, ["trainer.max_epochs=1", "model.width=2", "callbacks=none"]) if tiny else (10, [])
    with tempfile.TemporaryDirectory() as folder:

        def runs_per_minute(jobs: int) -> float:
            words = ["-m", "optimizer.nesterov=true,false", f"seeds={seeds}", f"n_jobs={jobs}", *more]
            used = cost([str(ROOT / "train.py"), *words, f"hydra.sweep.dir={folder}/{jobs}"], Path(folder))
            return 2 * seeds * 60 / used.seconds

        at_once, in_turn = runs_per_minute(2 if tiny else 6), runs_per_minute(1)
    return Row(empty.what, [at_once], [in_turn], empty.unit, at_least=empty.at_least)


def _data(count: int, augmentation: Augmentation, batch: int, workers: int) -> ClassificationData:
    data = ClassificationData(
        Generated(count),
        augmentation,
        batch_size=batch,
        val_fraction=0.1,
        num_workers=workers,
        seed=0,
        pin_memory=DEVICE.type == "cuda",
    )
    data.setup("fit")
    return data


def _sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.4, momentum=0.9, nesterov=True, weight_decay=5e-4)


def _classifier(width: int, *, compile: bool = False) -> Classifier:
    net = gbn_resnet(18, num_classes=10, width=width, ghost_size=32)
    return Classifier(
        net, mean=MEAN, std=STD, optimizer=_sgd, scheduler=partial(one_cycle, max_lr=0.4), compile=compile
    )


def _crop_and_flip(images: Tensor) -> Tensor:
    """(B, 32, 32, 3) uint8: padded by 4, cropped and mirrored, each picture by draws of its own."""
    count = len(images)
    padded = F.pad(images, (0, 0, 4, 4, 4, 4))
    tops, lefts = torch.randint(0, 9, (2, count, 1), device=images.device)
    places = torch.arange(32, device=images.device)
    columns = torch.where(torch.rand(count, 1, device=images.device) < 0.5, places, 31 - places) + lefts
    rows = places + tops
    return padded[torch.arange(count, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
