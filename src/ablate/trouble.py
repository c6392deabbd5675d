"""What ended a run, as its record tells it: with what to do about it, where that is known."""

import errno
import re
from pathlib import Path

import torch
import torch.distributed as dist

from ablate.config.schema import Config
from ablate.record import one_line

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "a file is too large"}
CLOSED = {errno.EROFS: "the disk is read-only", errno.EACCES: "the folder may not be written to"}


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the program did nothing wrong: a file could not be written."""
    return isinstance(error, OSError) and error.errno in FULL | CLOSED


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = (
        "DefaultCPUAllocator: can't allocate",
        "not enough memory",
        "CUDA out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


def is_of_the_connection(error: BaseException) -> bool:
    """Whether it only says that another process of the run could not be reached."""
    words = re.compile("gloo|nccl|connection (closed|reset)", re.IGNORECASE)
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and bool(words.search(str(error))))


def is_of_the_compiler(error: BaseException) -> bool:
    """Whether torch.compile could not do what was asked. By name: to import it takes longer than most runs fail."""
    return any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__)


def is_known(error: BaseException) -> bool:
    """Whether `explained` says all that a user needs, without the traceback."""
    return is_of_the_disk(error) or is_out_of_memory(error) or is_of_the_compiler(error)


def explained(error: BaseException, config: Config, folder: Path) -> str:
    """One line for the record and the terminal."""
    if isinstance(error, OSError) and is_of_the_disk(error):
        what = (FULL | CLOSED)[error.errno or 0]
        again = f"make room, then: python -m ablate resume '{folder}' --retry-failed"
        return f"{what} ({one_line(error)}); what was written before is whole; {again}"
    if is_out_of_memory(error):
        return f"out of memory ({one_line(error)[:120]}); to use less: {', '.join(_savings(config))}"
    if is_of_the_compiler(error):
        what = f"cannot be compiled ({one_line(error)[:160]})"
        if type(error).__name__ == "FailOnRecompileLimitHit":
            what = "is compiled anew in step after step: a Python number that it reads, or makes, keeps changing"
        return f"trainer.compile=true: the network {what}; trainer.compile=false trains it as it is"
    return one_line(error)


def _savings(config: Config) -> list[str]:
    savings = [f"data.batch_size={max(2, config.data.batch_size // 2)} (now {config.data.batch_size})"]
    if config.trainer.precision == "32-true":
        savings.append("trainer.precision=bf16-mixed")
    width = config.model.get("width")
    if isinstance(width, int) and width > 1:
        savings.append(f"model.width={width // 2} (now {width})")
    return [*savings, "fewer runs at once"]
