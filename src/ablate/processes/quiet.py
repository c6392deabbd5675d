"""Lightning, torch and the logs, without what is no news."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """What Lightning tells every user at every start is not news; warnings that say something still show."""
    levels = {
        "pytorch_lightning": logging.WARNING,
        "lightning_fabric": logging.WARNING,
        "torch.utils.cpp_extension": logging.ERROR,  # torch.compile on a CPU: where CUDA would be
    }
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",  # the loader is measured, and 0 workers is the fastest on few cores
            ".*number of training batches.*is smaller than the logging interval.*",
            ".*GPU available but not used.*",
            ".*srun. command is available.*",  # on every login node, and in every run of a local sweep there
            ".*LeafSpec.*",
            ".*self.log\\('throughput/.*sync_dist=True.*",  # the speed counts all devices already
            ".*Checkpoint directory .* exists and is not empty.*",  # resuming
        ):
            warnings.filterwarnings("ignore", message)
        yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@contextmanager
def silent_logs() -> Iterator[None]:
    """A log that cannot be written, on a full disk, has nothing to show on the terminal: the record says it all."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before
