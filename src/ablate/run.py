"""One run, from a checked configuration to a finished record."""

import logging
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities import rank_zero_only

from ablate import checkpoint, environment
from ablate.board import Board
from ablate.build import Parts, build
from ablate.callbacks.throughput import peak_memory
from ablate.changes import code_of
from ablate.config.schema import Config
from ablate.errors import UserError
from ablate.record import RunRecord, config_hash, one_line, write_atomically

log = logging.getLogger(__name__)


def run(config: Config, folder: Path, variant: Mapping[str, Any], *, command: Sequence[str] = ()) -> RunRecord:
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
        git=environment.git_state(Path(__file__).parent),  # of the code that runs, from wherever it is called
        code=code_of(plain),
        command=list(command),
        directory=str(Path.cwd()),
        started=_now(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    _save(record, folder)
    _save_config(plain, folder)
    record.artifacts["config"] = "config.yaml"
    board: Board | None = None
    start = time.monotonic()
    try:
        with _quiet_lightning(), _own_signal_handlers():
            parts = build(config, folder, record)
            board = parts.board
            record.seconds["setup"] = time.monotonic() - start
            _save(record, folder)
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
        record.status, record.error = "failed", one_line(error)
        log.error("run failed: %s\n%s", record.error, traceback.format_exc())
    finally:
        record.seconds["total"] = time.monotonic() - start
        record.finished = _now()
        record.artifacts.update(_artifacts(folder))
        _save(record, folder)
        if board is not None:
            board.end_session("failed" if record.status == "running" else record.status)
    return record


@rank_zero_only  # one of several processes that share a run writes its files
def _save(record: RunRecord, folder: Path) -> None:
    record.write(folder)


@rank_zero_only
def _save_config(config: Mapping[str, Any], folder: Path) -> None:
    write_atomically(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


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


def _artifacts(folder: Path) -> dict[str, str]:
    """What the callbacks and the log have left, by name."""
    pictures = {path.stem: path.name for path in sorted(folder.glob("*.png"))}
    others = {
        "log": "train.log",
        "gradcam": "gradcam",
        "last": "checkpoints/last.ckpt",
        "trust_card_numbers": "trust_card.json",
    }
    return {**pictures, **{name: path for name, path in others.items() if (folder / path).exists()}}


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
            ".*self.log\\('throughput/.*sync_dist=True.*",  # the speed counts all devices already
            ".*Checkpoint directory .* exists and is not empty.*",  # resuming
        ):
            warnings.filterwarnings("ignore", message)
        yield
    logger.setLevel(before)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
