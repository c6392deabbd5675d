"""Who works in a folder, as its `lease.json` says it, and whether that one is alive.

On the owner's own machine that is asked of its process table; from another machine only the age of the file can tell,
and that by the clock of the file server: the clocks of two machines need not agree.
"""

import json
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.record import read_dated

FILE_NAME = "lease.json"
STALE_SECONDS = 120.0  # without a renewal, seen from another machine


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `progress`: what it told last, such as epoch (from 1), epochs, batch, batches."""

    pid: int
    host: str
    machine: str  # this boot of this kernel, and its process table: where a pid means something
    process: str  # when the process started: a pid alone is given out again
    token: str  # of this very lease
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A lease as it lies there. `holder`: None if it cannot be read. `renewed`: by the clock of the file server."""

    path: Path
    holder: Holder | None
    renewed: float

    def is_alive(self) -> bool:
        if self.holder is not None and self.holder.machine == machine():
            return process_start(self.holder.pid) == self.holder.process
        return _now(self.path.parent) - self.renewed < STALE_SECONDS


def holder(folder: Path) -> Holder | None:
    """Who works in `folder` at this moment; None if nobody alive does."""
    lease = read_lease(folder / FILE_NAME)
    return lease.holder if lease is not None and lease.holder is not None and lease.is_alive() else None


def read_lease(path: Path) -> Found | None:
    try:
        content, renewed = read_dated(path)
    except FileNotFoundError:
        return None
    try:
        return Found(path, Holder(**json.loads(content)), renewed)
    except (ValueError, TypeError):
        return Found(path, None, renewed)


def _now(folder: Path) -> float:
    """By the clock that dates the files of `folder`."""
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{FILE_NAME}.", dir=folder) as probe:
            return os.stat(probe.name).st_mtime
    except OSError:  # not mine to write in
        return time.time()


def machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # a container has pids of its own
    except OSError:
        return socket.gethostname()


def process_start(pid: int) -> str:
    """Empty for a process that has ended, also if nobody has asked for its exit code yet."""
    if Path("/proc/self/stat").exists():
        try:
            state, *rest = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            return ""
        return "" if state in "ZX" else rest[18]  # proc(5): field 22, in ticks since boot
    ps = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return ps.stdout.strip()
