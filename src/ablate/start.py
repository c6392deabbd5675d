"""Where a run in a folder starts: anew, or from a checkpoint of an earlier attempt."""

import logging
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities import rank_zero_only

from ablate import checkpoint, environment
from ablate.board import put_before_now
from ablate.changes import config_differences, differences
from ablate.errors import UserError
from ablate.record import FILE_NAME, PART, RunRecord, config_hash

log = logging.getLogger(__name__)

SHARED_SECONDS = 60.0  # until a file that another machine has written is seen
LEFT = ("metrics.csv", "timings.csv", "predictions.npz", "events.out.tfevents.*", "gradcam/epoch_*.png")


@dataclass(frozen=True)
class Start:
    """`old`: the record of the attempts before, None for a first one. `found`: None: from scratch.

    `complaints`: what was wrong with the files that were found. `forced`: the differences that were passed over.
    """

    folder: Path
    old: RunRecord | None = None
    found: checkpoint.Newest | None = None
    complaints: list[str] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path | None:
        """The checkpoint to go on from."""
        return self.folder / checkpoint.FOLDER / self.found.name if self.found else None

    @property
    def num_steps(self) -> int:
        """Optimizer updates behind it."""
        return checkpoint.place_of(self.found.content)[0] if self.found else 0

    @property
    def num_threads(self) -> int | None:
        """Of torch, in the first attempt: sums over more threads, or fewer, come out in another order."""
        threads = self.old.device.get("threads") if self.old else None
        return threads if isinstance(threads, int) and threads > 0 else None

    def compare_parts(self, made: Mapping[str, str], forced: Sequence[str] | None) -> "Start":
        """With the data and the initial weights as they are made now. Raises `UserError` if they are others."""
        before = _identity(self.old, self.found)
        found = [
            f"{name.replace('_', ' ')} {before[name]}, now {value}"
            for name, value in made.items()
            if before.get(name) not in (None, value)
        ]
        found = [each for each in found if each not in _passed_over(self.old)]
        _refuse(self.folder, found, forced)
        return replace(self, forced=[*self.forced, *found])

    def follow(self, record: RunRecord) -> RunRecord:
        """The record of this attempt, with what it has of those before."""
        assert self.old is not None
        at = datetime.now(UTC).isoformat(timespec="seconds")
        epoch = checkpoint.epochs_of(self.found.content) if self.found else 0
        name = self.found.name if self.found else None
        if environment.is_first_process():
            where = f"from {name}" if name else "from scratch"
            log.info("going on with %s: epoch %d, %s", self.folder, epoch + 1, where)
        entry = {"from_epoch": epoch, "from_checkpoint": name, "at": at, "forced": self.forced}
        return replace(
            record,
            command=record.command or self.old.command,
            attempts=self.old.attempts + 1,
            resumed=[*self.old.resumed, entry],
            seconds=dict(self.old.seconds),
            started=self.old.started or record.started,
            epochs=epoch,
        )

    @rank_zero_only
    def clear(self) -> None:
        """Leave in the folder what this attempt builds on, and nothing that would belong to no attempt."""
        for complaint in self.complaints:
            log.warning("%s", complaint)
        folder = self.folder / checkpoint.FOLDER
        if self.old is not None:
            put_before_now(self.folder)
            for path in [path for each in (self.folder, folder) for path in each.glob(f".*{PART}")]:
                path.unlink()  # what a kill has left half written
        if self.found and self.found.is_best_too:
            checkpoint.write(folder / checkpoint.BEST, (folder / self.found.name).read_bytes())
        if self.found and self.found.name == checkpoint.BEST:  # nothing replaces an older one after the last epoch
            checkpoint.write(folder / checkpoint.LAST, (folder / checkpoint.BEST).read_bytes())
        if self.old is not None and self.found is None:
            for path in [path for pattern in LEFT for path in self.folder.glob(pattern)]:
                path.unlink()
            for name in (checkpoint.BEST, checkpoint.LAST):
                checkpoint.remove(folder / name)


def find_start(folder: Path, config: Mapping[str, Any], forced: Sequence[str] | None) -> Start:
    """What lies in `folder` of a run with this resolved config. Changes nothing.

    forced: differences in config, code or versions that the caller has passed over; None: there may be none. Raises
    `UserError` naming them, and for a checkpoint that holds code.
    """
    if not environment.is_first_process():
        forced = ()  # the first of several processes has asked, and has written its own record by now
        _same_run(folder, config)
    if not (folder / FILE_NAME).is_file():
        return Start(folder)
    complaints: list[str] = []
    try:
        old = RunRecord.read(folder)
    except UserError as error:
        complaints.append(error.problems[0].given)
        old = _rebuilt(folder, error)
    if old.status == "done":
        return Start(folder, old)
    new = differences(old, config)
    _refuse(folder, new, forced)
    found = checkpoint.newest(folder / checkpoint.FOLDER, complaints.append)
    now = config_hash(config)
    if found and now != (theirs := found.content.get("run", {}).get("config_hash", old.config_hash)):
        more = f"config {theirs} of {found.name}, now {now}"
        if theirs != old.config_hash and more not in _passed_over(old):
            _refuse(folder, [more], forced)
        new.append(more)
    return Start(folder, old, found, complaints, new)


def _passed_over(old: RunRecord | None) -> set[str]:
    """Differences that were forced before: a checkpoint says what it was of until the next one is written."""
    return {each for entry in (old.resumed if old else ()) for each in entry["forced"]}


def _same_run(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise `UserError` unless the first process has begun a run of this config here."""
    last = time.monotonic() + SHARED_SECONDS
    while not (folder / FILE_NAME).is_file():
        if time.monotonic() > last:
            raise UserError.of(
                f"rank {environment.rank()} on {socket.gethostname()} finds no run in {folder}",
                "a folder that all machines of a run share",
                "hydra.run.dir=FOLDER, on a file system that they share",
            )
        time.sleep(0.1)
    if found := config_differences(RunRecord.read(folder), config):
        raise UserError.of(
            f"rank {environment.rank()} sees another config than the first process: {'; '.join(found)}",
            "one config for all processes of a run: conf/ was changed while they started",
            "the same command again",
        )


def _rebuilt(folder: Path, error: UserError) -> RunRecord:
    """A record of what is certain without run.json: its config, from config.yaml."""
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return RunRecord(str(config["name"]), int(config["seed"]), {}, config, config_hash(config))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        raise error from None


def _identity(old: RunRecord | None, found: checkpoint.Newest | None) -> dict[str, Any]:
    """What the first attempt was made of; the checkpoint knows where the record is new."""
    known = dict(found.content.get("run", {})) if found else {}
    if old is not None:
        ours = {"data_checksum": old.data_checksum, "initial_weights_hash": old.initial_weights_hash}
        known.update({name: value for name, value in ours.items() if value is not None})
    return known


def _refuse(folder: Path, differences: Sequence[str], forced: Sequence[str] | None) -> None:
    if differences and forced is None:
        raise UserError.of(
            f"{folder} was begun with other things: {'; '.join(differences)}",
            "the same config, code, data and versions: else its halves would be of two experiments",
            f"python -m ablate resume '{folder}' --force, or the same command in a folder of its own",
        )
