"""C as a library: compiled by this machine's compiler when it is first needed, then kept for later processes."""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

# Not linked to OpenMP: its functions are those of the library that torch has loaded. A second one would have threads of
# its own, and the two teams would be in each other's way.
COMPILE = ("-O3", "-march=native", "-fPIC", "-fopenmp", "-c")
SECONDS = 60  # the compiler takes one


def load(name: str, sources: Path) -> ctypes.CDLL | None:
    """The functions in the folder `sources`; None, and a line in the log, where no compiler makes them.

    The compiler is `CC`, else cc. The library lies in `XDG_CACHE_HOME`, else ~/.cache, under `ablate`, by a name that
    changes with the sources, the compiler and the processor: a home may be shared by unlike machines.
    """
    wanted = shlex.split(os.environ.get("CC") or "cc")
    compiler = shutil.which(wanted[0])
    if compiler is None:
        log.info("%s: not compiled, for there is no C compiler (CC=%s)", name, " ".join(wanted))
        return None
    command = [compiler, *wanted[1:]]
    kept = _cache() / f"{name}-{_digest(sources, command)}.so"
    if kept.is_file() and (library := _opened(kept)):
        return library
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / kept.name
        try:
            _run([*command, *COMPILE, *map(str, sorted(sources.glob("*.c")))], folder)
            _run([*command, "-shared", *map(str, sorted(Path(folder).glob("*.o"))), "-lm", "-o", str(made)], folder)
        except (OSError, subprocess.SubprocessError) as error:
            log.info("%s: not compiled: %s", name, getattr(error, "stderr", None) or error)
            return None
        library = _opened(made)  # it stays loaded when its file is gone
        if library is not None:
            _keep(made, kept)
        return library


def _run(command: list[str], folder: str) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )


def _opened(path: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:  # made for another OpenMP than torch's, or damaged
        log.info("%s: not loaded: %s", path.name, error)
        return None


def _keep(made: Path, kept: Path) -> None:
    """Copied whole or not at all; several processes may do so at once."""
    part = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, part)
        part.replace(kept)
    except OSError as error:  # a home that cannot be written to: the next process compiles again
        log.debug("%s is not kept: %s", kept, error)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(os.path.expanduser("~/.cache"))) / "ablate"


def _digest(sources: Path, command: list[str]) -> str:
    texts = [path.read_bytes() for path in sorted(sources.glob("*.[ch]"))]
    digest = hashlib.sha256(b"\0".join(texts))
    digest.update(repr((command, COMPILE, platform.machine(), _processor())).encode())
    return digest.hexdigest()[:16]


def _processor() -> list[str]:
    """What the compiler's "native" depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [platform.processor()]
    telling = ("model name", "flags", "Features", "CPU part")
    return sorted({line for line in lines if line.startswith(telling)})
