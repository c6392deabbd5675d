"""One run, from a checked configuration to a finished record."""

import logging
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities import rank_zero_only

from ablate import checkpoint, environment
from ablate.board import Board
from ablate.build import Parts, Prepared, build, prepare
from ablate.callbacks.divergence import Diverged
from ablate.callbacks.throughput import peak_memory
from ablate.changes import code_of
from ablate.config.schema import Config
from ablate.errors import UserError
from ablate.processes.lease import Lease
from ablate.processes.quiet import quiet_lightning, silent_logs
from ablate.processes.stopping import Stopped, StoppedAtOnce, Stopping
from ablate.ranks.company import Company
from ablate.ranks.guard import RankLostError, follow_the_first, guarded, leave_word
from ablate.record import RunRecord, config_hash, now, one_line, write_atomically
from ablate.start import Start, find_start
from ablate.trouble import explained, is_known, is_of_the_disk

log = logging.getLogger(__name__)


def run(
    config: Config,
    folder: Path,
    variant: Mapping[str, Any],
    *,
    command: Sequence[str] = (),
    forced: Sequence[str] | None = None,
    company: Company | None = None,
) -> RunRecord:
    """Train, choose a checkpoint on validation accuracy, test it once; leave everything in `folder`.

    In a folder with an unfinished run of the same config it goes on from the newest good checkpoint, and ends with the
    bytes that the run would have had without a break; a finished one is left as it is.

    A training that fails, diverges or is interrupted ends in a record that says so, not in an exception; the traceback
    goes to the log. Raises `UserError` for what only the data or the network could show to be wrong; for a folder that
    cannot be written to, or in which another process works; and for a run that was begun with another config, other
    code, data or versions, unless `forced` says that these differences are known. In the last case nothing is changed.

    command: the words that make this run again, for the record. company: of the processes that share it, where a
    launcher has started them; those that Lightning starts are found by themselves. The first one alone writes.
    """
    rank_zero_only.rank = environment.rank()  # type: ignore[attr-defined]  # Lightning has read it when it was imported
    record = RunRecord(
        name=config.name,
        seed=config.seed,
        variant=dict(variant),
        config=config.plain,
        config_hash=config_hash(config.plain),
        versions=environment.versions(),
        git=environment.git_state(Path(__file__).parent),  # of the code that runs, from wherever it is called
        code=code_of(config.plain),
        command=list(command),
        directory=str(Path.cwd()),
        started=now(),
    )
    with quiet_lightning(), silent_logs(), _leased(folder) as lease, Stopping() as stopping:
        if not environment.is_first_process():
            stopping.is_deaf = True  # a signal ends the first process, and that ends this one
            follow_the_first(company)
        try:
            start = find_start(folder, config.plain, forced)
        except StoppedAtOnce:  # while a checkpoint was read
            return replace(record, status="interrupted", error=f"stopped by {stopping.name}")
        if start.old is not None and start.old.status == "done":
            return start.old
        with environment.borrowed(start.num_threads):
            if (old := start.old) is None:
                return _attempt(config, record, start, None, stopping, lease, company)
            try:
                prepared = prepare(config)
                start = start.compare_parts(prepared.identity, forced)
            except StoppedAtOnce:  # before anything was changed
                return replace(old, status="interrupted", error=f"stopped by {stopping.name}")
            return _attempt(config, start.follow(record), start, prepared, stopping, lease, company)


def _attempt(
    config: Config,
    record: RunRecord,
    start: Start,
    prepared: Prepared | None,
    stopping: Stopping,
    lease: Lease | None,
    company: Company | None,
) -> RunRecord:
    folder, begun, seconds, is_trained = start.folder, time.monotonic(), dict(record.seconds), False
    board: Board | None = None

    def tell(**progress: Any) -> None:
        if lease is not None:
            if not lease.is_held():
                raise _TakenOverError(f"another process has taken {folder} over, or its disk does not answer")
            lease.tell(**progress)

    def end(status: Any, reason: str) -> None:
        record.status, record.error = status, reason
        log.error("%s: %s", folder, reason)
        _close(record, folder, None)
        if lease is not None:
            lease.release()
        if company is not None:
            company.close(1)

    try:
        start.clear()
        _save(record, folder)
        _save_config(config.plain, folder)
        record.artifacts["config"] = "config.yaml"
        prepared = prepared or prepare(config)
        parts = build(config, folder, record, prepared, stopping, tell=tell, num_steps=start.num_steps)
        board = parts.board
        record.seconds["setup"] = seconds.get("setup", 0.0) + time.monotonic() - begun
        _save(record, folder)
        if company is not None and company.is_first:
            company.open(folder)
        is_trained = True
        with guarded(parts.trainer, company, folder, stopping, end):
            _fit(parts, record, start.path)
            _test(parts, folder, record, seconds.get("test", 0.0))
        record.status = "done"
    except UserError as error:
        record.status, record.error = "failed", error.problems[0].given
        if not is_trained:  # the command, or its data, was wrong
            raise
        log.error("run failed: %s", error)  # what was trained is kept
    except (Stopped, StoppedAtOnce, KeyboardInterrupt, SystemExit):  # the last two from Lightning, and its processes
        record.status, record.error = "interrupted", f"stopped by {stopping.name}"
        log.warning("%s: %s", record.error, folder)
    except Diverged as error:
        record.status, record.error = "diverged", str(error)
        log.error("diverged: %s", error)
    except (RankLostError, _TakenOverError) as error:
        record.status, record.error = "failed", str(error)
        log.error("run failed: %s", error)
    except Exception as error:
        record.status, record.error = "failed", explained(error, config, folder)
        level = logging.DEBUG if is_known(error) else logging.ERROR
        if stopping.is_asked and config.trainer.compile and not is_of_the_disk(error):  # Ctrl-C ends the compiler, too
            record.status, record.error, level = "interrupted", f"stopped by {stopping.name}", logging.DEBUG
        leave_word(folder, error, record.error)
        log.error("run %s: %s", record.status, record.error)
        log.log(level, "%s", traceback.format_exc())
    finally:
        stopping.is_deaf = True  # what follows takes no time, and is what the signal is waiting for
        if lease is None or lease.is_held():
            record.seconds["total"] = seconds.get("total", 0.0) + time.monotonic() - begun
            record.finished = now()
            _close(record, folder, board)
    return record


class _TakenOverError(RuntimeError):
    """The folder is another process's now: nothing may be written there."""


def _close(record: RunRecord, folder: Path, board: Board | None) -> None:
    """Leave the last word in the folder, as far as its disk takes it."""
    try:
        record.artifacts.update(_artifacts(folder))
        _save(record, folder)
        if board is not None:
            board.end_session("failed" if record.status == "running" else record.status)
    except Exception as error:  # the status is true all the same
        log.error("the end of the run could not be written to %s: %s", folder, one_line(error))


@rank_zero_only  # one of several processes that share a run writes its files
def _save(record: RunRecord, folder: Path) -> None:
    record.write(folder)


@rank_zero_only
def _save_config(config: Mapping[str, Any], folder: Path) -> None:
    write_atomically(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def _fit(parts: Parts, record: RunRecord, path: Path | None) -> None:
    try:
        parts.trainer.fit(parts.classifier, datamodule=parts.data, ckpt_path=path)
    finally:
        record.seconds["fit"] = parts.keeper.seconds
        record.peak_memory = peak_memory(parts.classifier)
        if parts.throughput is not None:
            record.images_per_second = parts.throughput.median_images_per_second


def _test(parts: Parts, folder: Path, record: RunRecord, seconds: float) -> None:
    """Test the chosen checkpoint; the record's metrics are all of these weights."""
    start = time.monotonic()
    path = folder / checkpoint.FOLDER / checkpoint.BEST
    chosen = checkpoint.load(path, parts.classifier.device)
    parts.classifier.load_state_dict(chosen["state_dict"])
    row = chosen["callbacks"]["RecordKeeper"]["rows"][-1]
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
    record.seconds["test"] = seconds + time.monotonic() - start


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
def _leased(folder: Path) -> Iterator[Lease | None]:
    """The folder, made and held; by the first of several processes that share a run."""
    if not environment.is_first_process():
        yield None
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        given = f"{folder} cannot be made ({error.strerror or error})"
        allowed = "a folder of yours on a disk with free space"
        raise UserError.of(given, allowed, "hydra.run.dir=FOLDER, or with -m hydra.sweep.dir=FOLDER") from None
    with Lease.take(folder) as lease:
        yield lease
