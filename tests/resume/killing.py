"""A run small enough to be killed often, and how to kill it at an exact place.

An attempt that is to die runs in a forked process; one that is to live runs in this one.
"""

import functools
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ablate.build
from ablate import checkpoint
from ablate.callbacks.divergence import Divergence
from ablate.config.plan import compose
from ablate.config.schema import Config
from ablate.record import RunRecord
from ablate.run import run

CONF = Path(__file__).parents[2] / "conf"
WORDS = [
    *("data=shapes", "data.source.num_train=80", "data.source.num_test=24", "data.batch_size=16", "data.num_workers=0"),
    *("model.width=4", "model.ghost_size=8", "trainer.max_epochs=3", "trainer.accelerator=cpu"),
    *("trainer.log_every_n_steps=2", "optimizer.lr=0.02", "augmentation=crop_flip"),
    *("callbacks.gradcam.layers=[layer4]", "callbacks.gradcam.every_n_epochs=1", "callbacks.gradcam.num_images=2"),
    *("callbacks.pictures_in.num_images=1", "~callbacks.progress", "~callbacks.misclassified"),
    *("~callbacks.confusion", "~callbacks.calibration", "~callbacks.trust_card"),
]
BATCHES = 5  # an epoch: 72 pictures by 16

Do = Callable[[], object]
modules_trained: list[Any] = []


@functools.cache
def config(*words: str) -> Config:
    return compose(CONF, [*WORDS, *words])


def die(number: int = signal.SIGKILL) -> Do:
    return lambda: os.kill(os.getpid(), number)


class At(Divergence):
    """Does something at one place of the training, before any other callback: ("train_batch", 1, 3): epoch, batch."""

    def __init__(self, place: tuple[Any, ...], do: Do) -> None:
        self._place, self._do = place, do

    def _at(self, *place: Any) -> None:
        if place == self._place:
            self._do()

    def on_train_start(self, trainer: pl.Trainer, *modules: Any) -> None:
        modules_trained.extend(modules)
        self._at("train_start")

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._at("train_batch", trainer.current_epoch, batch_idx)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **_: Any) -> None:
        self._at("validation_batch", trainer.current_epoch, args[3])

    def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        super().on_train_epoch_end(trainer, *args)
        self._at("epoch_end", trainer.current_epoch)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._at("epoch_start", trainer.current_epoch)

    def on_train_end(self, *_: Any) -> None:
        self._at("train_end")

    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any, **_: Any) -> None:
        self._at("test_batch", args[3])


def forked(work: Do) -> int:
    """Do it in a forked process; its exit code, or minus the number of the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads: none of them is needed
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def attempt(folder: Path, *words: str, at: tuple[Any, ...] = (), do: Do = lambda: None, **more: Any) -> RunRecord:
    """One attempt in this process, with `do` at a place of the training."""
    real = ablate.build.Divergence
    ablate.build.Divergence = lambda: At(at, do)
    try:
        return run(config(*words), folder, {}, **more)
    finally:
        ablate.build.Divergence = real


def killed(folder: Path, *words: str, at: tuple[Any, ...]) -> None:
    """An attempt that ends by SIGKILL at a place."""
    assert forked(lambda: attempt(folder, *words, at=at, do=die())) == -signal.SIGKILL


def same(a: Any, b: Any) -> bool:
    """To the last bit, through mappings and lists."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def board(folder: Path) -> dict[str, list[Any]]:
    """What TensorBoard shows: tag -> points, without what is of time."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    images = {tag: [(e.step, e.encoded_image_string) for e in events.Images(tag)] for tag in tags["images"]}
    return {tag: points for tag, points in {**scalars, **images}.items() if not tag.startswith("throughput/")}


def assert_same_run(folder: Path, reference: Path) -> None:
    """Weights, optimizer, schedule, tables, predictions, pictures and charts, to the last bit."""
    for name in (checkpoint.BEST, checkpoint.LAST):
        ours, theirs = (checkpoint.load(each / checkpoint.FOLDER / name) for each in (folder, reference))
        for key in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "loops"):
            assert same(ours[key], theirs[key]), f"{name}: {key}"
    for name in ("metrics.csv", "predictions.npz", "curves.png", "config.yaml"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    pictures = {path.name: path.read_bytes() for path in (reference / "gradcam").iterdir()}
    assert {path.name: path.read_bytes() for path in (folder / "gradcam").iterdir()} == pictures
    assert len(pictures) == 3
    ours, theirs = RunRecord.read(folder), RunRecord.read(reference)
    assert ours.status == theirs.status == "done"
    for name in ("metrics", "checkpoint", "epochs", "initial_weights_hash", "data_checksum", "artifacts"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert board(folder) == board(reference)
    hidden = [path for path in folder.rglob(".*") if path.name != ".hydra"]
    assert hidden == [], "leftovers"
    assert not (folder / "lease.json").exists()


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lease.json"}
