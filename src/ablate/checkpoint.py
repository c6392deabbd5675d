"""Checkpoints that are whole or absent, and that cannot run code when they are loaded.

Beside each lies its checksum, `last.ckpt.sha256`, in the format of `sha256sum -c`. While a checkpoint is replaced, the
checksum file names the old content and the new: a kill at any moment leaves a pair that fits.
"""

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from ablate.errors import Problem, UserError
from ablate.record import write_atomically

CHOSEN_ON = "val/accuracy"
FOLDER, BEST, LAST = "checkpoints", "best.ckpt", "last.ckpt"

Content = dict[str, Any]


class Damaged(UserError):  # noqa: N818 (a kind of user error, as its parent says)
    """The file is not what was written: cut short, or changed since."""


class HeldCheckpoint(CheckpointIO):
    """What Lightning saves is kept here until somebody writes it: `trainer.save_checkpoint` takes a picture in memory.

    Reads with weights_only=True. Lightning's own writer goes through $TMPDIR: a kill during the move to another file
    system leaves half a file.
    """

    held: memoryview | None = None

    def save_checkpoint(self, checkpoint: Content, path: str | Path, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        self.held = buffer.getbuffer()

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Content:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        remove(Path(path))


def write(path: Path, content: bytes | memoryview) -> None:
    """Replace the checkpoint and its checksum, so that a reader, or a kill at any moment, finds a pair that fits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"{hashlib.sha256(content).hexdigest()}  {path.name}\n"
    sums = checksum_file(path)
    before = sums.read_text(encoding="utf-8", errors="replace") if path.is_file() and sums.is_file() else ""
    write_atomically(sums, before + line)
    write_atomically(path, content)
    write_atomically(sums, line)


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    checksum_file(path).unlink(missing_ok=True)


def checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def load(path: Path, map_location: Any = "cpu") -> Content:
    """The checkpoint at `path`: tensors and plain values only.

    Raises `Damaged` for a file that does not fit its checksum or is no checkpoint, and `UserError` for one that holds
    anything that could run code. One without a checksum file, from an older version, is taken as it is.
    """
    try:
        data = path.read_bytes()
        sums = checksum_file(path)
        if sums.is_file() and hashlib.sha256(data).hexdigest() not in sums.read_text("utf-8", "replace").split():
            raise _damaged(path, f"it does not fit {sums.name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            content: Content = torch.load(io.BytesIO(data), map_location=map_location, weights_only=True)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except UserError:
        raise
    except Exception as error:  # whatever torch's reader comes upon in a file that is not what it should be
        if isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower():
            raise UserError.of(
                f"{path} holds more than tensors and plain values: opening it could run code of whoever made it",
                "a checkpoint that a run of ablate wrote",
                f"rm '{path}'",
            ) from None
        raise _damaged(path, "it is cut short, or no checkpoint") from None
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise _damaged(path, "it is no checkpoint of a run")
    return content


@dataclass(frozen=True)
class Newest:
    """The checkpoint that a run goes on from."""

    name: str  # of the file
    content: Content
    is_best_too: bool  # it is to be copied to `best.ckpt`, which is damaged or gone


def newest(folder: Path, complain: Callable[[str], None]) -> Newest | None:
    """The newer one of the two checkpoints, of those that are whole; None: from scratch. Changes nothing.

    If what was the best is lost, only training again brings it back, unless the newest is the best. `complain` is told
    what is wrong with a file. Raises `UserError` for one with code in it.
    """
    found: dict[str, Content] = {}
    for name in (BEST, LAST):
        if (folder / name).is_file():
            try:
                content = load(folder / name)
                place_of(content), best_epoch_of(content)
                found[name] = content
            except Damaged as error:
                complain(error.problems[0].given)
            except (KeyError, TypeError):
                complain(f"{folder / name} does not say how far it had come")
    if not found:
        return None
    name = max(found, key=lambda each: (place_of(found[each]), each == LAST))
    best_epoch = best_epoch_of(found[name])
    is_lost = best_epoch is not None and BEST not in found
    if is_lost and best_epoch != _last_whole_epoch(found[name]):
        complain(f"{folder / BEST}, of epoch {best_epoch}, is lost, and {name} is of a later one")
        return None
    return Newest(name, found[name], is_lost)


def place_of(content: Content) -> tuple[int, int]:
    """How far the training had come: optimizer updates, and whole epochs."""
    return int(content["global_step"]), epochs_of(content)


def epochs_of(content: Content) -> int:
    """Whole epochs behind it, validation included; the number, from 0, of the epoch that comes next or goes on."""
    return int(content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])


def best_epoch_of(content: Content) -> int | None:
    """The epoch, from 0, whose weights were the best so far."""
    epoch: int | None = content["callbacks"]["BestAndLast"]["best_epoch"]
    return epoch


def _last_whole_epoch(content: Content) -> int | None:
    """None within an epoch."""
    progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    return progress["processed"] - 1 if progress["processed"] > progress["completed"] else None


def _damaged(path: Path, why: str) -> Damaged:
    given = f"{path} is damaged: {why}"
    return Damaged(Problem(given, "a checkpoint as it was written", f"python -m ablate resume '{path.parent.parent}'"))
