"""Seconds and peak memory of commands, each in a process of its own."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak_memory: float  # MB, the highest resident size
    processor: float = 0.0  # seconds, of all its threads: what a busy machine does not change much


def cost(words: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """What `python WORDS` costs in `folder`; fails if the command does."""
    command = [sys.executable, *words]
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", **(environment or {})},
    )
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    _, status, used = os.wait4(process.pid, 0)  # unlike RUSAGE_CHILDREN: of this one alone
    seconds = time.perf_counter() - start
    reader.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said[0][-2000:]}")
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Cost(seconds, memory, used.ru_utime + used.ru_stime)
