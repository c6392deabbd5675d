"""Slots: how many runs of a sweep go on at once on this machine, and what each of them may use."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]

from ablate.errors import Problem

MEMORY_OF_A_RUN = 2 * 1024**3  # bytes; torch, Lightning and a small data set take 1 to 1.5 GB


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time. `devices`: ids for CUDA_VISIBLE_DEVICES; None leaves the variable as it is."""

    threads: int
    devices: tuple[str, ...] | None = None


def make_slots(
    n_jobs: int | str,
    threads: int | str,
    trainers: Iterable[Any],
    *,
    num_runs: int,
    gpus: Sequence[str] | None = None,
    memory_of_a_run: int = MEMORY_OF_A_RUN,
) -> list[Slot]:
    """The slots of a sweep.

    n_jobs: runs at once. "auto": one for each set of GPUs; on CPUs as many as cores and free memory allow.
    threads: of torch in each process of a run; a run on several devices has one for each. "auto": the cores, divided,
        but no more than OMP_NUM_THREADS says.
    trainers: the trainer sections of the runs; each says `accelerator` and `devices`.
    gpus: ids of the visible GPUs, by default those that are there; more runs than GPUs share them in turn.
    """
    sections = list(trainers)
    gpus = (
        (visible_gpus() if any(section.accelerator != "cpu" for section in sections) else ()) if gpus is None else gpus
    )
    a_run = min(max((_gpus_of(section, len(gpus)) for section in sections), default=0), len(gpus))
    chosen = any(isinstance(section.devices, list) for section in sections)  # by hand: no slot may rename them
    cores, processes = num_cores(), max((_processes_of(section, len(gpus)) for section in sections), default=1)
    if n_jobs != "auto":
        number = int(n_jobs)
    elif a_run:
        number = max(1, len(gpus) // a_run)
    else:
        number = min(cores, int(psutil.virtual_memory().available // memory_of_a_run)) // processes
    number = max(1, min(number, num_runs))
    each = int(threads) if threads != "auto" else max(1, min(_most_threads(), cores // (number * processes)))
    if not a_run or chosen:
        return [Slot(each)] * number
    return [
        Slot(each, tuple(gpus[(slot * a_run + place) % len(gpus)] for place in range(a_run))) for slot in range(number)
    ]


def problems_of(launcher: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the keys of the local launcher."""
    for key, word, least in (("n_jobs", "auto", 1), ("threads", "auto", 1), ("retries", None, 0)):
        value = launcher[key]
        if value != word and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            allowed = f"{word}, or a whole number from {least}" if word else f"a whole number from {least}"
            yield Problem(f"hydra.launcher.{key}={value}", allowed, f"hydra.launcher.{key}={word or 1}")
    if launcher["on_failure"] not in ("continue", "stop"):
        yield Problem(f"on_failure={launcher['on_failure']}", "continue or stop", "on_failure=stop")


def num_cores() -> int:
    """Cores that this process may use: a container's share, not the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _most_threads() -> int:
    """As the user has set it for all programs; a list is for nested parallel regions, of which the first counts."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) > 0 else num_cores()


def visible_gpus() -> list[str]:
    """Their ids, as CUDA_VISIBLE_DEVICES names them. Starts no CUDA in this process: it forks."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = [word.strip() for word in named.split(",")] if named else None
    count = torch.cuda.device_count()  # asks the driver's management library
    return ids[:count] if ids else [str(number) for number in range(count)]


def _gpus_of(trainer: Any, present: int) -> int:
    """How many GPUs one run takes."""
    if trainer.accelerator not in ("gpu", "cuda", "auto") or (trainer.accelerator == "auto" and not present):
        return 0
    devices = trainer.devices
    if isinstance(devices, list):
        return len(devices)
    return present if devices in ("auto", -1, "-1") else int(devices)


def _processes_of(trainer: Any, present: int) -> int:
    """How many processes share one run: one for each device, which on a CPU is nothing but a process."""
    on_cpu = trainer.devices if isinstance(trainer.devices, int) else 1
    return _gpus_of(trainer, present) or on_cpu
