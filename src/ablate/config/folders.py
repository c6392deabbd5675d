"""What the folder of a run is called, and how it comes and goes."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from ablate.config.wording import show
from ablate.errors import Problem
from ablate.record import FILE_NAME, MANIFEST_NAME

MAX_NAME = 120  # characters; file systems stop at 255 bytes, and people sooner


def run_folder(factors: Sequence[str], seed: Any, overrides: Sequence[str]) -> str:
    """The name of a run inside its sweep: `nesterov=true,seed=0`. Different runs of a sweep get different names.

    `overrides`: what Hydra gives this run. A factor goes by the last part of its key where that is unambiguous.
    """
    parser = OverridesParser.create()
    typed = {bare_key(override): override for override in parser.parse_overrides(list(overrides))}
    last = [re.split(r"[./]", key)[-1] for key in factors]
    parts = []
    for key, short in zip(factors, last, strict=True):
        if key in typed:
            name = short if last.count(short) == 1 else key
            parts.append(f"{_safe(name)}={_safe(_text(typed[key].value()))}")
    seed_part = f"seed={seed}"
    name = ",".join([*parts, seed_part])
    if len(name) <= MAX_NAME:
        return name
    return f"{','.join(parts)[: MAX_NAME - len(seed_part) - 10]}-{_digest(name)},{seed_part}"


def variant_of(factors: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Swept key -> the value of this run, as plain values."""
    parsed = {bare_key(each): each for each in OverridesParser.create().parse_overrides(list(overrides))}
    return {key: parsed[key].value() for key in factors if key in parsed}


def bare_key(override: Override) -> str:
    """The key of an override without `+`, `++` or `~`."""
    return override.get_key_element().lstrip("+~")


def unused(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3, ... that does not exist: runs of one second stay apart."""
    folder = folder if folder.name else folder / "run"  # of "." and "/"
    candidates = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in range(1, 10_000))
    return next(path for path in candidates if not os.path.lexists(path))


def place_problems(folder: Path, key: str) -> Iterator[Problem]:
    """Why `folder`, which `key` sets, cannot be made or written into. Leaves nothing behind."""
    parents = missing_of(folder)
    nearest = parents[-1].parent if parents else folder
    try:
        for each in parents:
            if len(os.fsencode(each.name)) > os.pathconf(nearest, "PC_NAME_MAX"):
                raise OSError(errno.ENAMETOOLONG, "the name is too long")
            if "\0" in each.name:
                raise ValueError("the name holds a null byte")
        tempfile.TemporaryDirectory(dir=nearest, prefix=".ablate-").cleanup()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        given = f"{key}={folder}: nothing can be written to {nearest} ({reason})"
        yield Problem(given, "a folder that can be written to", f"{key}=DIR")


def missing_of(folder: Path) -> list[Path]:
    """`folder` and those above it that do not exist, innermost first."""
    absolute = folder.absolute()
    return [each for each in (absolute, *absolute.parents) if not os.path.lexists(each)]


def claim(folder: Path) -> Path:
    """Create `folder`, or the first unused one after it, for this process alone."""
    while True:
        path = unused(folder)
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # another process was faster
            continue
        return path


def holds_a_run(folder: Path) -> bool:
    return os.path.lexists(folder / FILE_NAME)


def holds_a_sweep(folder: Path) -> bool:
    return os.path.lexists(folder / MANIFEST_NAME)


def remove_run(made: Sequence[Path]) -> None:
    """Remove the folder of a run that never started, and those made above it if they are empty then: what
    `missing_of` has said before."""
    for number, folder in enumerate(made):
        with suppress(OSError):  # another run has come into it
            shutil.rmtree(folder) if number == 0 else folder.rmdir()


def _text(value: Any) -> str:
    return "+".join(show(each) for each in value) if isinstance(value, list) else show(value)


def _safe(text: str) -> str:
    """Fit for a folder's name; what had to be changed or cut ends in a digest, so that different values stay so."""
    safe = re.sub(r"[^A-Za-z0-9.+-]+", "_", text.replace("_", "\0")).replace("\0", "_").strip("_.")[:40]
    return safe if safe == text else f"{safe}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
