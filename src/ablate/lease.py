"""Who works in a folder: `lease.json`, renewed every two seconds by whoever does, and removed at the end.

Two commands in one run or sweep directory would destroy each other's results. A lease whose owner is dead is taken
over. On the owner's own machine that is asked of its process table; from another machine only the age of the file can
tell, and that by the clock of the file server: the clocks of two machines need not agree.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ablate.errors import UserError

FILE_NAME = "lease.json"
RENEW_SECONDS = 2.0
STALE_SECONDS = 120.0  # without a renewal, seen from another machine

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `progress`: what it told last, such as epoch (from 1), epochs, batch, batches."""

    pid: int
    host: str
    machine: str  # this boot of this kernel, and its process table: where a pid means something
    process: str  # when the process started: a pid alone is given out again
    token: str  # of this very lease
    progress: dict[str, Any] = field(default_factory=dict)

    def is_alive(self, age: float) -> bool:
        """`age`: seconds since the lease was renewed."""
        if self.machine == _machine():
            return _process_start(self.pid) == self.process
        return age < STALE_SECONDS


class Lease:
    """A folder, held by this process until `release` or the end of the `with` block."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._holder = Holder(
            os.getpid(), socket.gethostname(), _machine(), _process_start(os.getpid()), secrets.token_hex(8)
        )
        self._over, self._writing = threading.Event(), threading.Lock()
        self.lost = False  # to another process, which took this one for dead

    @classmethod
    def take(cls, folder: Path) -> "Lease":
        """Hold an existing folder. Raises `UserError` if someone alive does, or if nothing can be written there."""
        lease = cls(folder)
        try:
            lease._create()
        except OSError as error:
            raise UserError.of(
                f"{folder} cannot be written to ({error.strerror or error})",
                "a folder of yours on a disk with free space",
                "hydra.run.dir=FOLDER, or with -m hydra.sweep.dir=FOLDER",
            ) from None
        threading.Thread(target=lease._renew, name="lease", daemon=True).start()
        return lease

    def tell(self, **progress: Any) -> None:
        """Values for the next renewal: epoch (from 1), epochs, batch, batches, val_accuracy, whatever is known."""
        self._holder.progress.update(progress)

    def release(self) -> None:
        """Remove the lease, unless another process has it by now."""
        if self._over.is_set() or os.getpid() != self._holder.pid:
            return
        self._over.set()
        with self._writing, contextlib.suppress(OSError):
            if self._is_mine():
                self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _create(self) -> None:
        while True:
            temporary = self._written()
            try:
                os.link(temporary, self._path)  # fails if there is one, on network file systems too
                return
            except FileExistsError:
                with _one_at_a_time(self._path.parent):
                    self._remove_stale()
            finally:
                temporary.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        """Raises `UserError` unless the lease that is there is gone, or its owner dead."""
        found, age = _read(self._path)
        if age is None:
            return  # released meanwhile
        if found.is_alive(age) if found else age < STALE_SECONDS:
            who = f"process {found.pid} on {found.host}" if found else "a process that cannot be named"
            raise UserError.of(
                f"{self._path.parent} is in use by {who}",
                "one command in a folder at a time",
                f"kill {found.pid}" if found and found.machine == _machine() else f"rm '{self._path}' if that is dead",
            )
        aside = self._path.with_name(f".{FILE_NAME}.{self._holder.token}")
        try:
            os.rename(self._path, aside)  # of several machines that try, one succeeds
        except FileNotFoundError:
            return
        moved, _ = _read(aside)
        if moved is not None and found is not None and moved.token != found.token:
            with contextlib.suppress(FileExistsError):
                os.link(aside, self._path)  # someone was quicker, and it is theirs
        aside.unlink(missing_ok=True)
        if found is not None:
            log.info("%s: process %d on %s is gone; going on", self._path.parent, found.pid, found.host)

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            with self._writing:
                if self._over.is_set():
                    return
                try:
                    if not self._is_mine():
                        self.lost = True
                        return
                    os.replace(self._written(), self._path)
                except FileNotFoundError:
                    continue  # the folder is being moved, or was removed
                except OSError:  # a full disk: what is there stays, and is renewed all the same
                    with contextlib.suppress(OSError):
                        os.utime(self._path)

    def _is_mine(self) -> bool:
        found, age = _read(self._path)
        return age is None or (found is not None and found.token == self._holder.token)

    def _written(self) -> Path:
        handle, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=self._path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({**self._holder.__dict__, "progress": dict(self._holder.progress)}, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        os.chmod(name, 0o644)
        return Path(name)


def holder(folder: Path) -> Holder | None:
    """Who works in `folder` at this moment; None if nobody alive does."""
    found, age = _read(folder / FILE_NAME)
    return found if found is not None and age is not None and found.is_alive(age) else None


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Between looking at a lease and removing it, nobody else on this machine does. A kill releases it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # network file systems may have no locks on folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> tuple[Holder | None, float | None]:
    """What the lease says (None: it is no lease), and the seconds since it was renewed (None: there is none)."""
    try:
        content = path.read_text(encoding="utf-8")
        age = _now(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return None, None
    except UnicodeDecodeError:
        return None, _now(path.parent) - path.stat().st_mtime
    try:
        found = Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None, age
    return found, age


def _now(folder: Path) -> float:
    """By the clock that dates the files of `folder`."""
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{FILE_NAME}.", dir=folder) as probe:
            return os.stat(probe.name).st_mtime
    except OSError:  # not mine to write in
        return time.time()


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # a container has pids of its own
    except OSError:
        return socket.gethostname()


def _process_start(pid: int) -> str:
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
