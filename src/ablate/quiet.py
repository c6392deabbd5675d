"""Lightning, without what it tells every user at every start."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """What Lightning tells every user at every start is not news; warnings that say something still show."""
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.WARNING)
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
    logger.setLevel(before)
