"""The parts of a run, made from a checked configuration. This file alone knows all of them."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import Logger
from torch import nn

from ablate import environment
from ablate.board import Board, Histograms
from ablate.callbacks.best_and_last import BestAndLast
from ablate.callbacks.divergence import Divergence
from ablate.callbacks.random_streams import RandomStreams
from ablate.callbacks.record_keeper import RecordKeeper
from ablate.callbacks.throughput import Throughput
from ablate.checkpoint import FOLDER, HeldCheckpoint
from ablate.config.devices import device_of, uses_gpu
from ablate.config.schema import Config
from ablate.config.targets import instantiate
from ablate.config.wording import show
from ablate.data.augment import Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.source import Source
from ablate.model.classifier import Classifier
from ablate.model.ghost_batch_norm import GhostBatchNorm2d, kernels_for
from ablate.processes.stopping import Stopping
from ablate.ranks.company import cluster
from ablate.record import RunRecord, config_hash
from ablate.streams import Stream, integer


@dataclass(frozen=True)
class Prepared:
    """What a run begins with: its data, read, and its network with its initial weights. Nothing is written yet."""

    data: ClassificationData
    classifier: Classifier
    initial_weights_hash: str
    ghost_batch_norm: str | None  # how it is computed, if the network has it: its last digits depend on that

    @property
    def identity(self) -> dict[str, str]:
        of_all = {"data_checksum": self.data.checksum, "initial_weights_hash": self.initial_weights_hash}
        return {**of_all, "ghost_batch_norm": self.ghost_batch_norm} if self.ghost_batch_norm else of_all


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    data: ClassificationData
    classifier: Classifier
    trainer: pl.Trainer
    keeper: RecordKeeper
    throughput: Throughput | None
    board: Board | None


def prepare(config: Config) -> Prepared:
    """Read the data and make the network. Raises `UserError` for data that cannot be used."""
    data = make_data(config)
    data.setup("fit")
    net = make_network(config, data.num_classes)
    classifier = make_classifier(config, net, data.augmentation.mean, data.augmentation.std)
    return Prepared(data, classifier, weights_hash(classifier.net), _ghost_batch_norm(config, net))


def _ghost_batch_norm(config: Config, net: nn.Module) -> str | None:
    if not any(isinstance(module, GhostBatchNorm2d) for module in net.modules()):
        return None
    if config.trainer.compile:
        return "by torch.compile"
    device = device_of(config.trainer)
    kept_in_float32 = config.trainer.precision not in ("64-true", "bf16-true", "16-true")
    return "in compiled kernels" if kept_in_float32 and kernels_for(device) else "in plain operations"


def build(
    config: Config,
    folder: Path,
    record: RunRecord,
    prepared: Prepared,
    stopping: Stopping,
    *,
    tell: Callable[..., None] = lambda **_: None,
    num_steps: int = 0,
) -> Parts:
    """Make the parts. The record learns what they are: device, parameters, initial weights, data.

    tell: hears how far the training is (see `Lease.tell`). num_steps: optimizer updates that the run has behind it.
    """
    data, classifier = prepared.data, prepared.classifier
    record.num_parameters = sum(p.numel() for p in classifier.net.parameters())
    record.initial_weights_hash = prepared.initial_weights_hash
    record.data_checksum, record.classes = data.checksum, list(data.classes)

    allow = config.allow_targets
    loggers = {name: _logger(node, allow, folder, num_steps) for name, node in config.logger.items()}
    callbacks = {name: instantiate(node, allow) for name, node in config.callbacks.items()}
    keeper = RecordKeeper(record, folder, tell)
    board = next((each for each in loggers.values() if isinstance(each, Board)), None)
    if board is not None and board.histograms:
        callbacks["histograms"] = Histograms()
    held = HeldCheckpoint()
    identity = {"config_hash": record.config_hash, "code": record.code, **prepared.identity}
    trainer = pl.Trainer(
        default_root_dir=folder,
        logger=list(loggers.values()),
        callbacks=[
            Divergence(),
            RandomStreams(config.seed),
            *callbacks.values(),
            keeper,
            BestAndLast(folder / FOLDER, held, identity, stopping, tell),
        ],
        plugins=[held, cluster()],
        use_distributed_sampler=False,  # the loader's own sampler shards by rank
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(each, ProgressBar) for each in callbacks.values()),
        num_sanity_val_steps=0,
        **config.trainer.lightning_arguments,
    )
    # Its handlers would come before ours: one makes a collective operation of a signal, and one has SLURM requeue jobs.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    device = trainer.strategy.root_device
    record.device = environment.describe_device(device, trainer.num_devices * trainer.num_nodes)
    if board is not None:
        board.start_session(_columns(record), _group(record), record.config, classifier.net)
    throughput = next((each for each in callbacks.values() if isinstance(each, Throughput)), None)
    return Parts(data, classifier, trainer, keeper, throughput, board)


def _logger(node: dict[str, Any], allow: Sequence[str], folder: Path, num_steps: int) -> Logger:
    logger: Logger = instantiate(node, allow, save_dir=folder)
    if isinstance(logger, Board):
        logger.go_on_from(num_steps)
    return logger


def make_source(config: Config) -> Source:
    source: Source = instantiate(config.data.source, config.allow_targets)
    return source


def make_augmentation(config: Config) -> Augmentation:
    train, test = (
        {name: instantiate(node, config.allow_targets) for name, node in side.items()}
        for side in (config.augmentation.train, config.augmentation.test)
    )
    return Augmentation(train, test, image_size=config.data.image_size)


def make_network(config: Config, num_classes: int) -> nn.Module:
    """With the initial weights of the config's seed; leaves torch's global generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(integer(config.seed, Stream.WEIGHTS))
        net: nn.Module = instantiate(config.model, config.allow_targets, num_classes=num_classes)
    return net


def make_classifier(config: Config, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> Classifier:
    return Classifier(
        net,
        mean=mean,
        std=std,
        optimizer=instantiate(config.optimizer, config.allow_targets),
        scheduler=instantiate(config.scheduler, config.allow_targets),
        label_smoothing=config.loss.label_smoothing,
        l1=config.loss.l1,
        compile=config.trainer.compile,
    )


def make_data(config: Config) -> ClassificationData:
    use_gpu = uses_gpu(config.trainer)
    wanted = config.data.num_workers
    automatic = min(15, (os.cpu_count() or 1) - 1) if use_gpu else 0  # free to choose: the batches do not depend on it
    return ClassificationData(
        make_source(config),
        make_augmentation(config),
        batch_size=config.data.batch_size,
        val_fraction=config.data.val_fraction,
        num_workers=wanted if isinstance(wanted, int) else automatic,
        seed=config.seed,
        pin_memory=use_gpu,
    )


def weights_hash(net: nn.Module) -> str:
    """Sixteen hex digits over names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


HPARAMS = (
    "data.source._target_",
    "data.batch_size",
    "model._target_",
    "model.depth",
    "model.width",
    "model.ghost_size",
    "optimizer._target_",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.nesterov",
    "optimizer.weight_decay",
    "scheduler._target_",
    "trainer.max_epochs",
)


def _columns(record: RunRecord) -> dict[str, Any]:
    """The HParams table: the swept keys, and the settings that people ask for first.

    Not the seed: a row is the mean over seeds, and TensorBoard would show the first one's as the row's.
    """
    columns: dict[str, Any] = dict(record.variant)
    for key in HPARAMS:
        value: Any = record.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if key.endswith("._target_") and value is not None:
            key, value = key.removesuffix("._target_"), value.rpartition(".")[2]  # torch.optim.SGD: SGD
        if value is not None:
            columns.setdefault(key, value)
    return columns


def _group(record: RunRecord) -> str:
    """What a row of the HParams table is called; the same for runs that differ in nothing but the seed."""
    variant = ",".join(f"{key.rpartition('.')[2]}={show(value)}" for key, value in record.variant.items())
    digest = config_hash({key: value for key, value in record.config.items() if key != "seed"})
    return f"{variant or record.name} {digest}"
