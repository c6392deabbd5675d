"""Seconds and peak memory of commands, each in a process of its own.

`python -S benchmarks/fresh_process.py REPORT COMMAND...` runs a command and writes its cost to the file REPORT. It
stands between a benchmark and the command because on Linux a process counts the peak memory of the one that started it
as its own (`ru_maxrss` outlives exec).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHELL = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}  # as it was before `lifetime.prepare` set anything here


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak_memory: float  # MB, the highest resident size
    processor: float = 0.0  # seconds, of all its threads: what a busy machine does not change much


def cost(words: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """What `python WORDS` costs in `folder`; fails if the command does."""
    command = [sys.executable, *words]
    with tempfile.NamedTemporaryFile() as report:
        done = subprocess.run(
            [sys.executable, "-S", __file__, report.name, *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=SHELL | (environment or {}),
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
        return Cost(**json.load(report))


def _run(report: str, command: Sequence[str]) -> int:
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)  # unlike RUSAGE_CHILDREN: of this one alone
    seconds = time.perf_counter() - start
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    found = Cost(seconds, memory, used.ru_utime + used.ru_stime)
    Path(report).write_text(json.dumps(asdict(found)))
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1], sys.argv[2:]))
