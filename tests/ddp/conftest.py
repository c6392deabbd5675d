"""No test leaves a process behind, whatever becomes of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    places = str(tmp_path_factory.getbasetemp())
    # The server that commands are forked from may have been started in such a place; it is this process's child.
    others = [process for process in psutil.process_iter() if process.ppid() != os.getpid()]
    left = [process for process in others if _place_of(process).startswith(places)]
    words = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left]
    for process in left:
        process.kill()
    assert words == []


def _place_of(process: psutil.Process) -> str:
    try:
        return str(Path(process.cwd()))
    except psutil.Error:
        return ""
