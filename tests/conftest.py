"""What every test may use."""

import gc
import os
from typing import Any

import pytest

# Before anything imports Albumentations: at import it would ask the package index for its newest version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# The networks of the tests are small: one thread is as fast as two, and many times faster while others use the cores.
os.environ["OMP_NUM_THREADS"] = "1"

# Long ones begin first, so that of two processes none has to wait for the other at the end.
LONG = ("chaos", "board", "ddp", "sweep", "fuzz")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_collection_finish() -> None:
    """What is imported by now stays: to look for garbage in it takes a second each time, and statsmodels often asks."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or some packages say at the end that they have leaked


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays in one process, and so do the files of the board, which share a sweep."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "board" if nodeid.startswith("tests/board/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return ByFile(config, log)
