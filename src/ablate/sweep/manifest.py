"""`sweep.json`: what a sweep set out to do, and how far it has come.

The records of the runs are the truth; the manifest is written anew from them whenever a run starts or ends, in one
step. After a kill it may lag behind, until anything looks at the sweep again (`refreshed`).
"""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.errors import UserError
from ablate.record import FILE_NAME as RECORD
from ablate.record import MANIFEST_NAME as FILE_NAME
from ablate.record import config_hash, now, read_whole, write_atomically
from ablate.sweep.state import state_of

SCHEMA = 2


@dataclass(frozen=True)
class PlannedRun:
    """`folder`: its name in the sweep. The other fields are as of the last look.

    `seen`: the time (ns), size and inode of the record that said so; None if a record alone cannot tell. A record is
    replaced, never written into, so that another one has another of these: then, and only then, it is read again.
    """

    folder: str
    seed: int
    status: str = "pending"
    attempts: int = 0
    reason: str | None = None
    seen: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Manifest:
    """`runs`: config hash -> run, in the order of the sweep. `overrides`: the words of the command, without options.

    `conf`: the folder of the config. `program`, `directory`: what was called, and where; all as absolute paths.
    `options`: Hydra's, such as --config-dir=DIR.
    `forced`: differences that a resume was told to pass over.
    """

    overrides: tuple[str, ...]
    runs: dict[str, PlannedRun]
    conf: str
    program: str
    directory: str
    options: tuple[str, ...] = ()
    multirun: bool = True
    forced: tuple[str, ...] = ()
    started: str = field(default_factory=now)

    @property
    def command(self) -> str:
        return shlex.join(["python", "train.py", *(["-m"] if self.multirun else []), *self.overrides])

    def with_runs(self, configs: Mapping[str, Mapping[str, Any]]) -> "Manifest":
        """Planned anew. `configs`: folder name -> resolved config."""
        known = self.runs
        runs = {}
        for name, config in configs.items():
            digest = config_hash(config)
            runs[digest] = replace(known.get(digest, PlannedRun(name, int(config["seed"]))), folder=name)
        return replace(self, runs=runs)

    def refreshed(self, folder: Path) -> "Manifest":
        """With the status of every run as the folders say it now."""
        return replace(self, runs={digest: _looked_at(run, folder) for digest, run in self.runs.items()})

    def write(self, folder: Path) -> None:
        """A line a run, to be searched by people; and `indent` would take five times as long for ten thousand."""
        head = {"schema": SCHEMA, "command": self.command, **vars(self)}
        del head["runs"]
        lines = [f" {_json(name)}: {_json(value)}" for name, value in head.items()]
        runs = ",\n".join(f"  {_json(digest)}: {_json(vars(run))}" for digest, run in self.runs.items())
        lines.append(f' "runs": {{\n{runs}\n }}')
        write_atomically(folder / FILE_NAME, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises `UserError` for one that is missing, cut short or of another schema."""
        path = folder / FILE_NAME
        try:
            content = json.loads(read_whole(path))
            if content["schema"] != SCHEMA:
                raise UserError.of(
                    f"{path} has schema {content['schema']}",
                    f"schema {SCHEMA}",
                    "python train.py -m ..., for a new sweep",
                )
            runs = {digest: _planned(run) for digest, run in content["runs"].items()}
            names = ("overrides", "options", "forced")
            return cls(
                runs=runs,
                conf=content["conf"],
                program=content["program"],
                directory=content["directory"],
                multirun=content["multirun"],
                started=content["started"],
                **{name: tuple(content[name]) for name in names},
            )
        except FileNotFoundError:
            raise UserError.of(f"{folder} has no {FILE_NAME}", "a sweep directory", "ls outputs/sweeps") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
            if isinstance(cause, UserError):
                raise
            raise UserError.of(
                f"{path} cannot be read ({type(cause).__name__}: {cause})",
                "a manifest as a sweep writes it",
                "python -m ablate resume FOLDER/RUN, for each of its runs",
            ) from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _planned(run: dict[str, Any]) -> PlannedRun:
    seen = run.get("seen")
    return PlannedRun(**{**run, "seen": tuple(map(int, seen)) if seen else None})


def _looked_at(run: PlannedRun, folder: Path) -> PlannedRun:
    try:
        found = os.stat(os.path.join(folder, run.folder, RECORD))
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)  # before it is read: a newer one will be read again
    except OSError:
        stamp = None
    if stamp is not None and stamp == run.seen:
        return run
    state = state_of(folder / run.folder)
    seen = stamp if state.settled else None
    return replace(run, status=state.status, attempts=state.attempts, reason=state.reason, seen=seen)


def is_sweep(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()
