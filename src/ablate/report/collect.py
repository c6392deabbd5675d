"""From folders to runs: whatever lies there, finished or not, readable or not."""

import csv
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.errors import UserError
from ablate.record import SCHEMA, RunRecord, find_runs

_SHAPES: Mapping[str, tuple[type, ...]] = {  # what a report relies on; a record may come from another hand
    **dict.fromkeys(("name", "status"), (str,)),
    **dict.fromkeys(("seed", "schema", "epochs"), (int,)),
    **dict.fromkeys(("variant", "config", "metrics", "checkpoint", "seconds", "versions", "device", "git"), (dict,)),
    "classes": (list,),
    **dict.fromkeys(("images_per_second", "peak_memory", "num_parameters"), (int, float, type(None))),
    **dict.fromkeys(("initial_weights_hash", "data_checksum", "error", "finished"), (str, type(None))),
}


class Predictions(NamedTuple):
    """Of every test picture, in the order of the test set."""

    label: NDArray[np.int32]  # (N,)
    predicted: NDArray[np.int32]  # (N,)


@dataclass(frozen=True, eq=False)
class Run:
    """A run directory and its record. `config` maps dotted keys to plain values."""

    folder: Path
    record: RunRecord

    @cached_property
    def config(self) -> dict[str, Any]:
        return flatten(self.record.config)

    @cached_property
    def curve(self) -> dict[str, list[float]]:
        """Columns of metrics.csv and timings.csv, one value an epoch, NaN where none was written; {} without files."""
        return {**_columns(self.folder / "timings.csv"), **_columns(self.folder / "metrics.csv")}

    def predictions(self) -> Predictions | None:
        """None if there are none, or if they cannot be read. Read again at every call: a thousand fill a memory."""
        try:
            with (self.folder / "predictions.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                label, predicted = arrays["label"].astype(np.int32), arrays["predicted"].astype(np.int32)
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
            return None
        return Predictions(label, predicted) if label.shape == predicted.shape and label.ndim == 1 else None

    def metric(self, name: str) -> float | None:
        """The record's number, None if it has none; may be NaN."""
        value = self.record.metrics.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Collection:
    """What was found: runs by path, a sentence for each thing that is wrong, and how many runs were planned."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]
    num_planned: int | None  # None if no manifest says


def collect(folders: Sequence[Path]) -> Collection:
    """All runs at or below `folders`. Raises `UserError` for a folder that does not exist or holds no run."""
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing or not folders:
        given = f"{missing[0]} is no folder" if missing else "no folder was given"
        raise UserError.of(given, "a sweep directory, or a folder of runs", "ls outputs/sweeps outputs/runs")
    runs: list[Run] = []
    problems: list[str] = []
    for path in dict.fromkeys(path for folder in folders for path in find_runs(folder.resolve())):
        try:
            record = RunRecord.read(path)
        except UserError as error:
            problems.append(f"{error.problems[0].given}; that run is left out.")
            continue
        except TypeError:  # a schema that is no number
            problems.append(f"{path / 'run.json'} is no run record; that run is left out.")
            continue
        wrong = [name for name, shape in _SHAPES.items() if not isinstance(getattr(record, name), shape)]
        if wrong:
            problems.append(f"{path / 'run.json'} has no usable {', '.join(wrong)}; that run is left out.")
            continue
        runs.append(Run(path, record))
    old = sum(run.record.schema < SCHEMA for run in runs)
    if old:
        problems.append(f"{old} of {len(runs)} records come from an older version; what they lack counts as unknown.")
    if not runs and not problems:
        raise UserError.of(
            f"{', '.join(map(str, folders))} holds no run",
            "a sweep directory, or a folder of runs",
            "python train.py -m optimizer.nesterov=true,false seed=0,1,2,3,4",
        )
    planned = [count for folder in folders if (count := _num_planned(folder)) is not None]
    return Collection(tuple(runs), tuple(problems), sum(planned) if planned else None)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}. Lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _columns(path: Path) -> dict[str, list[float]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    if not rows:
        return {}
    head, *body = rows
    return {name: [_number(row[i]) if i < len(row) else math.nan for row in body] for i, name in enumerate(head)}


def _num_planned(folder: Path) -> int | None:
    try:
        manifest = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        return len(manifest["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
