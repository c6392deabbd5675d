"""One run, from a checked configuration to a finished record. This file alone knows all the steps."""

import hashlib
import logging
import os
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ProgressBar
from torch import nn

from ablate import checkpoint, environment
from ablate.board import Board
from ablate.callbacks.random_streams import RandomStreams
from ablate.callbacks.record_keeper import RecordKeeper
from ablate.callbacks.throughput import Throughput, peak_memory
from ablate.config.schema import Config
from ablate.config.targets import instantiate
from ablate.data.augment import Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.errors import UserError
from ablate.model.classifier import Classifier
from ablate.record import RunRecord, config_hash, write_atomically
from ablate.streams import Stream, integer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    data: ClassificationData
    classifier: Classifier
    trainer: pl.Trainer
    keeper: RecordKeeper
    throughput: Throughput | None
    board: Board | None


def run(config: Config, folder: Path, variant: Mapping[str, Any]) -> RunRecord:
    """Train, choose a checkpoint on validation accuracy, test it once; leave everything in `folder`.

    A training that fails or is interrupted ends in a record that says so, not in an exception; the traceback goes to
    the log. Raises `UserError` for what only the data or the network could show to be wrong.
    """
    plain = config.plain
    record = RunRecord(
        name=config.name,
        seed=config.seed,
        variant=dict(variant),
        config=plain,
        config_hash=config_hash(plain),
        versions=environment.versions(),
        git=environment.git_state(Path.cwd()),
        started=_now(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder)
    write_atomically(folder / "config.yaml", yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    record.artifacts["config"] = "config.yaml"
    board: Board | None = None
    start = time.monotonic()
    try:
        with _quiet_lightning(), _own_signal_handlers():
            parts = build(config, folder, record)
            board = parts.board
            record.seconds["setup"] = time.monotonic() - start
            record.write(folder)
            _fit(parts, record)
            _test(parts, folder, record)
        record.status = "done"
    except UserError as error:
        record.status, record.error = "failed", error.problems[0].given
        raise
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C and SIGTERM into SystemExit
        record.status, record.error = "interrupted", "interrupted by a signal"
        log.warning("interrupted: %s", folder)
    except Exception as error:
        record.status, record.error = "failed", _one_line(error)
        log.error("run failed: %s\n%s", record.error, traceback.format_exc())
    finally:
        record.seconds["total"] = time.monotonic() - start
        record.finished = _now()
        record.artifacts.update(_artifacts(folder))
        record.write(folder)
        if board is not None:
            board.end_session("failed" if record.status == "running" else record.status)
    return record


def build(config: Config, folder: Path, record: RunRecord) -> Parts:
    """Make the parts. The record learns what they are: device, parameters, initial weights, data."""
    accelerated = config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    data = _make_data(config, use_gpu=accelerated)
    data.setup("fit")
    classifier = _make_classifier(config, data)
    record.num_parameters = sum(p.numel() for p in classifier.net.parameters())
    record.initial_weights_hash = weights_hash(classifier.net)
    record.data_checksum, record.classes = data.checksum, list(data.classes)

    allow = config.allow_targets
    loggers = {name: instantiate(node, allow, save_dir=folder) for name, node in config.logger.items()}
    callbacks = {name: instantiate(node, allow) for name, node in config.callbacks.items()}
    keeper = RecordKeeper(record, folder)
    trainer = pl.Trainer(
        default_root_dir=folder,
        logger=list(loggers.values()),
        callbacks=[
            RandomStreams(config.seed),
            *callbacks.values(),
            keeper,
            checkpoint.best_and_last(folder / "checkpoints"),
        ],
        plugins=[checkpoint.AtomicCheckpointIO()],
        use_distributed_sampler=False,  # the loader's own sampler shards by rank
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(each, ProgressBar) for each in callbacks.values()),
        num_sanity_val_steps=0,
        **config.trainer.model_dump(exclude_unset=True),
    )
    device = trainer.strategy.root_device
    record.device = environment.describe_device(device, trainer.num_devices * trainer.num_nodes)
    board = next((each for each in loggers.values() if isinstance(each, Board)), None)
    if board is not None:
        board.start_session(_columns(record), _group(record), record.config)
    throughput = next((each for each in callbacks.values() if isinstance(each, Throughput)), None)
    return Parts(data, classifier, trainer, keeper, throughput, board)


def load_classifier(folder: Path, file: str | None = None) -> Classifier:
    """The trained classifier of a run directory, in eval mode on the CPU; by default the chosen checkpoint.

    Raises `UserError` when there is no record or no checkpoint, or when it belongs to another network.
    """
    record = RunRecord.read(folder)
    path = folder / (file or record.checkpoint.get("path", "checkpoints/last.ckpt"))
    if not path.is_file():
        raise UserError.of(f"{path} does not exist", "a run that saved a checkpoint", f"ls {folder}/checkpoints")
    config = Config.of(record.config)
    weights = checkpoint.load(path)["state_dict"]
    net = instantiate(config.model, config.allow_targets, num_classes=len(record.classes))
    classifier = Classifier(
        net, mean=weights["mean"].flatten().tolist(), std=weights["std"].flatten().tolist(), **_learning(config)
    )
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError.of(
            f"{path} holds another network than {folder}/run.json ({_one_line(error)})",
            "the checkpoint that this run wrote",
            f"ls {folder}/checkpoints",
        ) from None
    return classifier.eval()


def _make_data(config: Config, *, use_gpu: bool) -> ClassificationData:
    augmentation = Augmentation(
        *(
            {name: instantiate(node, config.allow_targets) for name, node in side.items()}
            for side in (config.augmentation.train, config.augmentation.test)
        ),
        image_size=config.data.image_size,
    )
    num_workers = config.data.num_workers
    if num_workers == "auto":  # free to choose: the batches are the same for any number
        num_workers = max(0, min(15, (os.cpu_count() or 1) - 1)) if use_gpu else 0
    return ClassificationData(
        instantiate(config.data.source, config.allow_targets),
        augmentation,
        batch_size=config.data.batch_size,
        val_fraction=config.data.val_fraction,
        num_workers=num_workers,
        seed=config.seed,
        pin_memory=use_gpu,
    )


def _make_classifier(config: Config, data: ClassificationData) -> Classifier:
    torch.manual_seed(integer(config.seed, Stream.WEIGHTS))
    net = instantiate(config.model, config.allow_targets, num_classes=data.num_classes)
    return Classifier(net, mean=data.augmentation.mean, std=data.augmentation.std, **_learning(config))


def _learning(config: Config) -> dict[str, Any]:
    return {
        "optimizer": instantiate(config.optimizer, config.allow_targets),
        "scheduler": instantiate(config.scheduler, config.allow_targets),
        "label_smoothing": config.loss.label_smoothing,
        "l1": config.loss.l1,
    }


def _fit(parts: Parts, record: RunRecord) -> None:
    start = time.monotonic()
    try:
        parts.trainer.fit(parts.classifier, datamodule=parts.data)
    finally:
        record.seconds["fit"] = time.monotonic() - start
        record.peak_memory = peak_memory(parts.classifier)
        if parts.throughput is not None:
            record.images_per_second = parts.throughput.median_images_per_second


def _test(parts: Parts, folder: Path, record: RunRecord) -> None:
    """Test the chosen checkpoint; the record's metrics are all of these weights."""
    start = time.monotonic()
    path = Path(parts.trainer.checkpoint_callback.best_model_path)  # type: ignore[union-attr]
    chosen = checkpoint.load(path, parts.classifier.device)
    parts.classifier.load_state_dict(chosen["state_dict"])
    row = next(row for row in parts.keeper.rows if row["epoch"] == chosen["epoch"])
    record.checkpoint = {
        "epoch": int(chosen["epoch"]),
        "path": path.relative_to(folder).as_posix(),
        "chosen_on": checkpoint.CHOSEN_ON,
        "value": row[checkpoint.CHOSEN_ON],
    }
    parts.trainer.test(parts.classifier, datamodule=parts.data, verbose=False)
    tested = {name: float(value) for name, value in parts.trainer.callback_metrics.items()}
    of_epoch = {name: value for name, value in row.items() if name.startswith(("train/", "val/"))}
    record.metrics = {**of_epoch, **tested}
    record.seconds["test"] = time.monotonic() - start


def weights_hash(net: nn.Module) -> str:
    """Sixteen hex digits over names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


HPARAMS = (
    "model._target_",
    "model.depth",
    "model.width",
    "model.ghost_size",
    "optimizer._target_",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.nesterov",
    "optimizer.weight_decay",
    "data.batch_size",
    "trainer.max_epochs",
)


def _columns(record: RunRecord) -> dict[str, Any]:
    """The HParams table: the swept keys, the seed, and the settings that people ask for first."""
    columns: dict[str, Any] = {**record.variant, "seed": record.seed}
    for key in HPARAMS:
        value: Any = record.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            columns.setdefault(key.removesuffix("._target_"), value)
    return columns


def _group(record: RunRecord) -> str:
    return config_hash({key: value for key, value in record.config.items() if key != "seed"})


def _artifacts(folder: Path) -> dict[str, str]:
    names = ("train.log", "curves.png", "misclassified.png", "gradcam", "checkpoints/last.ckpt")
    return {Path(name).stem: name for name in names if (folder / name).exists()}


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Lightning ignores Ctrl-C for good once it has handled one; the next run of a sweep wants it again."""
    try:
        before = signal.getsignal(signal.SIGINT)
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """What Lightning tells every user at every start is not news; warnings that say something still show."""
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",  # the loader is measured, and 0 workers is the fastest on few cores
            ".*number of training batches.*is smaller than the logging interval.*",
            ".*GPU available but not used.*",
            ".*LeafSpec.*",
            ".*Checkpoint directory .* exists and is not empty.*",  # resuming
        ):
            warnings.filterwarnings("ignore", message)
        yield
    logger.setLevel(before)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
