"""`sweep.json`: what a sweep set out to do. How far it came is in the record of each run."""

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.record import config_hash, write_atomically

FILE_NAME = "sweep.json"
SCHEMA = 1


def write_manifest(folder: Path, overrides: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `folder/sweep.json` before the first run.

    `overrides`: the words of the command. `configs`: folder name of each planned run -> its resolved config.
    """
    runs = [
        {"folder": name, "config_hash": config_hash(config), "seed": config["seed"]} for name, config in configs.items()
    ]
    content = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "train.py", "-m", *overrides]),
        "overrides": list(overrides),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": runs,
    }
    write_atomically(folder / FILE_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
