"""`sweep.json`: what a sweep set out to do, and how far it has come.

The records of the runs are the truth; the manifest is written anew from them whenever a run starts or ends, in one
step. After a kill it may lag behind, until anything looks at the sweep again (`refreshed`).
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.errors import UserError
from ablate.record import config_hash, write_atomically
from ablate.sweep.state import State, state_of

FILE_NAME = "sweep.json"
SCHEMA = 2


@dataclass(frozen=True)
class PlannedRun:
    """`folder`: its name in the sweep. The other fields are as of the last look."""

    folder: str
    seed: int
    status: str = "pending"
    attempts: int = 0
    reason: str | None = None


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
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

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

    def refreshed(self, folder: Path, *, all_runs: bool = False) -> "Manifest":
        """With the status of every run as the folders say it now; of those known to be done only with `all_runs`."""
        runs = {
            digest: run if run.status == "done" and not all_runs else _with(run, state_of(folder / run.folder))
            for digest, run in self.runs.items()
        }
        return replace(self, runs=runs)

    def write(self, folder: Path) -> None:
        content = {"schema": SCHEMA, "command": self.command, **asdict(self)}
        write_atomically(folder / FILE_NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises `UserError` for one that is missing, cut short or of another schema."""
        path = folder / FILE_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise UserError.of(
                    f"{path} has schema {content['schema']}",
                    f"schema {SCHEMA}",
                    "python train.py -m ..., for a new sweep",
                )
            runs = {digest: PlannedRun(**run) for digest, run in content["runs"].items()}
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


def _with(run: PlannedRun, state: State) -> PlannedRun:
    return replace(run, status=state.status, attempts=state.attempts, reason=state.reason)


def is_sweep(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()


def names(manifest: Manifest, statuses: Sequence[str]) -> list[str]:
    """Folders of the runs with one of these statuses."""
    return [run.folder for run in manifest.runs.values() if run.status in statuses]
