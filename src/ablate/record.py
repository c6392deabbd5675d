"""The run record: `run.json`, what is known of a run at this moment.

Written first with status `running`, replaced atomically: whoever reads a run directory at any time finds a true record.
"""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ablate.errors import UserError

FILE_NAME = "run.json"
MANIFEST_NAME = "sweep.json"  # of a sweep: which runs it set out to do
PART = ".part"  # closes the name of a file that is being written
_TRIES = 10  # to read a file that is replaced while it is read
_OF_A_RUN = (".hydra", "checkpoints", "gradcam")  # folders in which no other run lies
SCHEMA = 1  # raised when a field changes its meaning; a reader refuses records of a newer schema

# diverged: the loss became NaN or infinite, and training on would have been in vain
Status = Literal["running", "done", "failed", "interrupted", "diverged"]
Value = str | int | float | bool | None


@dataclass
class RunRecord:
    """One run. Accuracies are in [0, 1], times in seconds, memory in bytes; paths are relative to the run directory."""

    name: str
    seed: int
    variant: dict[str, Any]  # swept config key -> value, without the seed; {} for a run outside a sweep
    config: dict[str, Any]  # resolved
    config_hash: str
    status: Status = "running"
    schema: int = SCHEMA
    metrics: dict[str, float] = field(default_factory=dict)  # "test/accuracy": 0.9917, of the chosen checkpoint
    checkpoint: dict[str, Any] = field(default_factory=dict)  # epoch (from 0), path, chosen_on, value
    epochs: int = 0  # epochs finished
    seconds: dict[str, float] = field(default_factory=dict)  # by phase: setup, fit, test, total
    images_per_second: float | None = None  # training pictures a second, of the median epoch
    peak_memory: int | None = None  # bytes: of the device on a GPU, else resident memory of the process
    num_parameters: int | None = None
    classes: list[str] = field(default_factory=list)  # in label order
    versions: dict[str, str] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)  # kind ("cpu", "cuda"), name, count, cores, threads
    git: dict[str, Any] = field(default_factory=dict)  # commit, dirty; {} outside a repository
    code: str | None = None  # twelve hex digits over the sources of this package and of those in allow_targets
    command: list[str] = field(default_factory=list)  # the program and the words that make this run again
    directory: str | None = None  # where the command was typed: relative paths in the config are meant from there
    attempts: int = 1
    # One entry a resume: at (ISO 8601), from_epoch (from 0), from_checkpoint ("last.ckpt", "best.ckpt", None: from
    # scratch), forced (the differences that were waved through).
    resumed: list[dict[str, Any]] = field(default_factory=list)
    initial_weights_hash: str | None = None
    data_checksum: str | None = None
    error: str | None = None  # one line; the traceback is in train.log
    artifacts: dict[str, str] = field(default_factory=dict)  # name -> path
    started: str | None = None  # ISO 8601, UTC
    finished: str | None = None

    def write(self, folder: Path) -> None:
        """Replace `folder/run.json` in one step."""
        write_atomically(folder / FILE_NAME, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """The record in `folder`. Raises `UserError` for one that is missing, cut short or of a newer schema."""
        path = folder / FILE_NAME
        try:
            content = json.loads(read_whole(path))
        except FileNotFoundError:
            raise UserError.of(
                f"{folder} has no {FILE_NAME}", "a run directory", "ls outputs/runs outputs/sweeps"
            ) from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as cause:
            raise UserError.of(
                f"{path} cannot be read ({cause})", "a run record", f"rm {path}, or run it again"
            ) from None
        known = {f.name for f in fields(cls)}
        required = {"name", "seed", "variant", "config", "config_hash", "status", "schema"}
        if not (isinstance(content, dict) and required <= content.keys() and isinstance(content["config"], dict)):
            raise UserError.of(f"{path} is no run record", f"the keys {', '.join(sorted(required))}", f"rm {path}")
        if not isinstance(content["schema"], int) or content["schema"] > SCHEMA:
            raise UserError.of(
                f"{path} has schema {content['schema']}", f"schema {SCHEMA} or older", "pip install --upgrade ablate"
            )
        return cls(**{key: value for key, value in content.items() if key in known} | {"config": completed(content)})


# Keys that are younger than the first records, and what was done before there were any: a config without one says that.
YOUNGER = {("trainer", "compile"): False}


def completed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a record, with the younger keys that it lacks."""
    config: dict[str, Any] = dict(content["config"])
    for (section, key), before in YOUNGER.items():
        if isinstance(config.get(section), dict):
            config[section] = {key: before, **config[section]}
    return config


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hex digits that name a run: equal for equal resolved configs, whichever command they came from."""
    planned = {key: value for key, value in config.items() if key not in ("factors", "name")}
    for (section, key), before in YOUNGER.items():
        values = planned.get(section)
        if isinstance(values, Mapping) and values.get(key) == before:
            planned[section] = {name: value for name, value in values.items() if name != key}
    return hashlib.sha256(json.dumps(planned, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def find_runs(folder: Path) -> Iterator[Path]:
    """Run directories at or below `folder`, sorted by path."""
    yield from sorted(find_folders(folder, FILE_NAME))


def find_folders(folder: Path, file: str) -> Iterator[Path]:
    """Folders at or below `folder` that hold a file of this name. Links are not followed.

    Not looked into is what a run makes itself: of ten thousand runs that would be thirty thousand folders.
    """
    for place, below, files in os.walk(folder):
        if file in files:
            yield Path(place)
        if FILE_NAME in files:
            below[:] = [name for name in below if name not in _OF_A_RUN]


def read_whole(path: Path) -> bytes:
    """A file that others may replace at any moment: the old content, or the new. Raises `OSError`."""
    return read_dated(path)[0]


def read_dated(path: Path) -> tuple[bytes, float]:
    """The same, with the time at which that content was written, by the clock of the file server."""
    for left in reversed(range(_TRIES)):
        try:
            with path.open("rb") as file:
                return file.read(), os.fstat(file.fileno()).st_mtime
        except OSError as error:
            # NFS: once a file is replaced the server does not know the old one, which this reader had open.
            if error.errno != errno.ESTALE or not left:
                raise
    raise AssertionError("the last try returns or raises")


def write_atomically(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old content or the new, never a part.

    The temporary file lies in the same folder: `os.replace` across file systems would copy.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def now() -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def one_line(error: BaseException) -> str:
    """An exception as a record keeps it: its kind and its message, on one line of 300 characters at most."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
