"""Lightning, torch and the logs, without what is no news."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """What Lightning tells every user at every start is not news; warnings that say something still show."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    before = [logger.level for logger in loggers]
    extensions = logging.getLogger("torch.utils.cpp_extension")
    extensions.addFilter(_says_more_than_where_cuda_is)
    try:
        with warnings.catch_warnings():
            for logger in loggers:
                logger.setLevel(logging.WARNING)
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
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        extensions.removeFilter(_says_more_than_where_cuda_is)


def _says_more_than_where_cuda_is(record: logging.LogRecord) -> bool:
    return "No CUDA runtime is found" not in record.getMessage()  # of torch.compile on a CPU


@contextmanager
def silent_logs() -> Iterator[None]:
    """A log that cannot be written, on a full disk, has nothing to show on the terminal: the record says it all."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before
