"""C as a library: compiled by this machine's compiler when it is first needed, then kept for later processes.

It calls the OpenMP library that torch has loaded: on Linux usually GCC's. Clang's code calls functions of LLVM's, and
Apple's clang refuses -fopenmp: there, what uses OpenMP is usually not made or not loaded, and plain operations serve.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

# Not linked to OpenMP: its functions are those of the library that torch has loaded. A second one would have threads of
# its own, and the two teams would be in each other's way.
COMPILE = ("-O3", "-march=native", "-fPIC", "-fopenmp", "-c")
SECONDS = 60  # the compiler takes one

CPUINFO = Path("/proc/cpuinfo")
# How the lines begin that tell processors apart. One too many would cost a compilation, one too few a crash.
TELLING = (
    *("model name", "flags"),  # x86
    *("Features", "CPU implementer", "CPU variant", "CPU part"),  # ARM
    *("features", "facilities", "processor "),  # s390x: "processor 0: version = FF, ..., machine = 3906"
    "cpu\t",  # POWER; with its tab, for on x86 "cpu MHz" is never the same
)


def load(name: str, sources: Path) -> ctypes.CDLL | None:
    """The functions in the folder `sources`; None, and a line in the log, where they cannot be compiled or loaded.

    The compiler is `CC`, else cc. The library lies in `XDG_CACHE_HOME`, else ~/.cache, under `ablate`, by a name that
    changes with the sources, the compiler and the processor: a home may be shared by unlike machines. It is kept there,
    and taken from there, only if nobody else may write to the file or its folder; else every process compiles.
    """
    try:
        return _load(name, sources.absolute())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("%s: no library: %s", name, getattr(error, "stderr", None) or error)
        return None


def _load(name: str, sources: Path) -> ctypes.CDLL | None:
    wanted = shlex.split(os.environ.get("CC", "")) or ["cc"]
    compiler = shutil.which(wanted[0])
    if compiler is None:
        log.info("%s: no library, for there is no C compiler (CC=%s)", name, shlex.join(wanted))
        return None
    command = [os.path.abspath(compiler), *wanted[1:]]  # CC=./cc, and it is run in another folder
    cache = _cache()
    kept = cache and cache / f"{name}-{_digest(sources, command)}.so"
    if kept and _is_intact(kept) and (library := _opened(kept)):
        return library
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Path(folder) / f"{name}.so"
        _run([*command, *COMPILE, *map(str, sorted(sources.glob("*.c")))], folder)
        _run([*command, "-shared", *map(str, sorted(Path(folder).glob("*.o"))), "-lm", "-o", str(made)], folder)
        # Either place may be mounted noexec.
        if kept and _keep(made, kept) and (library := _opened(kept)):
            return library
        return ctypes.CDLL(str(made))  # it stays loaded when its file is gone


def _run(command: list[str], folder: str) -> None:
    with tempfile.TemporaryFile(dir=folder) as output:  # not a pipe, which a process left behind would hold open
        with subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        ) as process:
            try:
                status = process.wait(SECONDS)
            except BaseException:  # Ctrl-C too, which does not reach another session
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # the driver and what it has started
                raise
        if status:
            output.seek(0)
            raise subprocess.CalledProcessError(status, command, stderr=output.read().decode(errors="replace"))


def _opened(kept: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(kept))
    except OSError as error:  # made for another OpenMP than torch's, or mounted noexec
        log.info("%s: not loaded: %s", kept.name, error)
        return None


def _keep(made: Path, kept: Path) -> bool:
    """Copied whole or not at all, with a checksum at its end; several processes may do so at once."""
    try:
        content = made.read_bytes()
        for folder in (kept.parent.parent, kept.parent):  # parents=True gives the mode to the last one alone
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(kept.parent):
            raise PermissionError(f"others may write to {kept.parent}")
        handle, part = tempfile.mkstemp(prefix=f".{kept.name}.", dir=kept.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content + hashlib.sha256(content).digest())  # a loader does not read so far
                file.flush()
                os.fsync(file.fileno())
            if not _is_intact(kept):  # another process was faster; on NFS its file may be in use on other machines
                os.replace(part, kept)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:  # the next process compiles again
        log.info("%s: not kept: %s", kept.name, error)
        return False
    return True


def _is_intact(kept: Path) -> bool:
    """Whether it is there, of our making, and whole: to open half a library is SIGBUS, not an error."""
    try:
        if not (_is_ours(kept.parent) and _is_ours(kept)):
            return False
        content = kept.read_bytes()
    except OSError:
        return False
    return content[-32:] == hashlib.sha256(content[:-32]).digest()


def _is_ours(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _cache() -> Path | None:
    """None without an absolute folder: where no home is known, "~" stays as it is."""
    for base in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        if os.path.isabs(base):  # the XDG specification has relative ones ignored
            return Path(base) / "ablate"
    return None


def _digest(sources: Path, command: list[str]) -> str:
    texts = [path.read_bytes() for path in sorted(sources.glob("*.[ch]"))]
    digest = hashlib.sha256(b"\0".join(texts))
    tools = [os.path.realpath(found) for word in command if (found := shutil.which(word))]  # "ccache gcc" is two
    versions = [(tool, os.stat(tool).st_size, os.stat(tool).st_mtime_ns) for tool in tools]  # upgraded in place
    digest.update(repr((command, versions, COMPILE, platform.machine(), _processor())).encode())
    return digest.hexdigest()[:16]


def _processor() -> list[str]:
    """What the compiler's "native" depends on."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [platform.processor()]
    return sorted({line for line in lines if line.startswith(TELLING)})
