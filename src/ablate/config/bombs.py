"""YAML files that are small to send and huge to read: an anchor may be repeated inside another, and that one again.

OmegaConf copies what an alias repeats, so nine lines can ask for a thousand million values. They are counted here,
without being made, before Hydra reads a file.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from ablate.errors import Problem

MAX_VALUES = 100_000  # of a file; the largest of ours has 70
MAX_BYTES = 10_000_000
MAX_FILES = 5_000
DEPTH = 4  # folders below a config folder in which Hydra's groups can lie


def bombs(folder: Path) -> Iterator[Problem]:
    """The files of a config folder that are too large to be read."""
    for number, path in enumerate(_files(folder)):
        if number == MAX_FILES:
            given = f"{folder} holds more than {MAX_FILES:,} YAML files"
            yield Problem(given, "a folder of config files", "--config-dir DIR")
            return
        try:
            too_large = path.stat().st_size > MAX_BYTES or _num_values(path.read_bytes()) > MAX_VALUES
        except OSError:
            continue  # Hydra says so, if the file is asked for
        if too_large:
            yield Problem(f"{path} holds too much", f"up to {MAX_VALUES:,} values in a file", f"rm {path}")


def _files(folder: Path) -> Iterator[Path]:
    for place, inner, names in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= DEPTH:
            inner.clear()
        paths = (Path(place, name) for name in names if name.endswith((".yaml", ".yml")))
        yield from (path for path in paths if path.is_file())


def _num_values(content: bytes) -> int:
    """The values of a file once every alias has been replaced by what it repeats."""
    if b"*" not in content:
        return content.count(b"\n")
    sizes: dict[str, int] = {}  # of anchors
    open_: list[tuple[str | None, int]] = [(None, 0)]  # (anchor, values so far) of the collections around
    try:
        for event in yaml.parse(content, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                open_.append((event.anchor, 1))
                continue
            if isinstance(event, yaml.AliasEvent):
                anchor, size = None, sizes.get(str(event.anchor), 1)
            elif isinstance(event, yaml.ScalarEvent):
                anchor, size = event.anchor, 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, size = open_.pop()
            else:
                continue
            if anchor is not None:
                sizes[anchor] = size
            outer, before = open_[-1]
            open_[-1] = outer, before + size
    except (yaml.YAMLError, UnicodeDecodeError):
        return 0  # Hydra says so, if the file is asked for
    return open_[0][1]
