"""A folder, a command in it, and what became of both."""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One bad input.

    command: words of `python train.py`, or of `python -m ablate` where the first one is "ablate".
    says:    what the message must contain.
    prepare: makes the world, in an empty folder that is also the working folder.
    env:     variables; None removes one.
    """

    name: str
    command: Sequence[str]
    says: Sequence[str]
    prepare: Callable[[Path], None] = lambda folder: None
    env: dict[str, str | None] = field(default_factory=dict)
    code: int = 2


def snapshot(folder: Path) -> dict[str, tuple[str, str]]:
    """path -> (kind and rights, content) of everything in a folder. Opens plain files alone."""
    seen = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            mode = path.lstat().st_mode
            content = ""
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISREG(mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            seen[os.path.relpath(path, folder)] = (stat.filemode(mode), content)
    return seen
