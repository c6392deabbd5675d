"""Processes that share a run as torchrun would start them, without the seconds that importing torch takes."""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from typed import LOG, begin, finish

# 64 pictures to train on: 4 batches of 16, and a share of a batch is one ghost.
SMALL = [
    *("data=shapes", "data.source.num_train=80", "data.source.num_test=24", "data.val_fraction=0.2"),
    *("data.batch_size=16", "model.width=4", "model.ghost_size=8", "trainer.max_epochs=2", "trainer.accelerator=cpu"),
]
TWO = ["trainer.devices=2", "trainer.strategy=ddp"]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def torchrun(rank: int, size: int, port: str) -> dict[str, str]:
    """What torchrun tells its processes."""
    return {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)},
        **{"GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "none"},
    }


def slurm(rank: int, size: int, port: str) -> dict[str, str]:
    """What srun tells its tasks."""
    return {
        **{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0", "SLURM_NTASKS": str(size)},
        **{"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": port},
    }


def begin_ranks(
    place: Path, words: Sequence[str], *, size: int = 2, variables: Any = torchrun, more: Sequence[Sequence[str]] = ()
) -> list[Any]:
    """`python train.py WORDS` in as many processes; `more`: words for each of them alone."""
    port = free_port()
    return [begin(place, *words, *(more[rank] if more else ()), **variables(rank, size, port)) for rank in range(size)]


def together(place: Path, words: Sequence[str], **how: Any) -> list[int]:
    """The exit codes of all ranks."""
    return [finish(process) for process in begin_ranks(place, words, **how)]


def said(place: Path) -> str:
    return (place / LOG).read_text(encoding="utf-8")


def until(what: Callable[[], Any], seconds: float = 120) -> Any:
    """What it says when it first says anything."""
    last = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < last, "it never comes"
        time.sleep(0.02)
    return found


def has_epochs(folder: Path, number: int) -> bool:
    """Whether so many rows are in the table of a run."""
    path = folder / "metrics.csv"
    return path.exists() and len(path.read_text().splitlines()) > number


def ranks_below(pid: int) -> list[psutil.Process]:
    """The processes that Lightning has started for a run: `python train.py ... hydra.job.name=train_ddp_process_1`."""
    with_it = psutil.Process(pid).children(recursive=True)
    return [each for each in with_it if "train_ddp_process_" in " ".join(each.cmdline())]
