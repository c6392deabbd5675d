"""Who works in a folder: `lease.json`, renewed every two seconds by whoever does, and removed at the end.

Two commands in one run or sweep directory would destroy each other's results. A lease whose owner is dead is taken
over (`holder.py` says how that is told). Whoever was away for long enough to be taken for dead asks whether the folder
is still its own before it writes there (`is_held`). Made for folders that many machines share: it relies on `link` and
`rename`, not on locks.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ablate.errors import UserError
from ablate.processes.holder import FILE_NAME, STALE_SECONDS, Holder, machine, process_start, read_lease

RENEW_SECONDS = 2.0
LOCK_SECONDS = 1.0  # at most, for a lock that spares two commands a race; without it they settle it all the same

log = logging.getLogger(__name__)


class Lease:
    """A folder, held by this process until `release` or the end of the `with` block."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._holder = Holder(
            os.getpid(), socket.gethostname(), machine(), process_start(os.getpid()), secrets.token_hex(8)
        )
        self._over, self._writing = threading.Event(), threading.Lock()
        self._lost = False  # to another process, which took this one for dead
        self._sure = _awake()  # at this moment it was ours

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

    def is_held(self) -> bool:
        """Whether the folder is still this process's: to be asked before anything is written there.

        The file is looked at only after a pause in which others may have taken the folder: the machine was asleep, the
        process stopped, or the file server did not answer. If it still does not, the answer is no.
        """
        if not self._lost and self._was_away():
            with self._writing:
                begun = _awake()
                try:
                    self._lost = not self._is_mine()
                except OSError:
                    return False
                self._sure = begun
        return not self._lost

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
            self._sure = _awake()
            temporary = self._written()
            try:
                os.link(temporary, self._path)  # fails if there is one, on network file systems too
                return
            except FileExistsError:
                if os.stat(temporary).st_nlink == 2:
                    return  # it was made, but the server's answer was lost, and the second try found the first
                with _one_at_a_time(self._path.parent):
                    self._remove_stale()
            finally:
                temporary.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        """Raises `UserError` unless the lease that is there is gone, or its owner dead."""
        lease = read_lease(self._path)
        if lease is None:
            return  # released meanwhile
        found = lease.holder
        if lease.is_alive():
            who = f"process {found.pid} on {found.host}" if found else "a process that cannot be named"
            raise UserError.of(
                f"{self._path.parent} is in use by {who}",
                "one command in a folder at a time",
                f"kill {found.pid}" if found and found.machine == machine() else f"rm '{self._path}' if that is dead",
            )
        aside = self._path.with_name(f".{FILE_NAME}.{self._holder.token}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._path, aside)  # of several machines that try, one succeeds
        moved = read_lease(aside)
        if moved is not None and moved.holder is not None and found is not None and moved.holder.token != found.token:
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
                begun = _awake()
                try:
                    if not self._is_mine():
                        self._lost = True
                        return
                    self._write_again()
                    self._sure = begun
                except OSError:  # the folder is being moved, or was removed, or the file server does not answer
                    continue

    def _write_again(self) -> None:
        try:
            temporary = self._written()
        except FileNotFoundError:
            raise
        except OSError:  # a full disk: what is there stays, and is renewed all the same
            os.utime(self._path)
            return
        try:
            os.replace(temporary, self._path)
        finally:
            temporary.unlink(missing_ok=True)

    def _is_mine(self) -> bool:
        lease = read_lease(self._path)
        if lease is None:  # the folder is being moved; but after a long pause somebody has had it, and is done with it
            return not self._was_away()
        return lease.holder is not None and lease.holder.token == self._holder.token

    def _was_away(self) -> bool:
        """Long enough, nearly, for others to take this process for dead."""
        return _awake() - self._sure > STALE_SECONDS / 2

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


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Between looking at a lease and removing it, nobody else on this machine does, as a rule. A kill releases it."""
    handle = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + LOCK_SECONDS
    try:
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.002)
            except OSError:
                break  # network file systems may have no locks on folders
            else:
                break
        yield
    finally:
        os.close(handle)


def _awake() -> float:
    """Seconds, by a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
