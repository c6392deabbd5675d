"""What a benchmark ran on, and how its numbers are summarised."""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from ablate import environment


def print_conditions(command: str) -> None:
    print(conditions(command))


def conditions(command: str) -> str:
    """Two lines: date and command; the machine, its load and the versions."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    about, versions = environment.describe_device(device, 1), environment.versions()
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}  {command}\n"
        f"{about['name']}, {about['cores']} cores, torch threads {torch.get_num_threads()}, load {load:.1f}; "
        f"Python {versions['python']}, torch {versions['torch']}, pytorch-lightning {versions['pytorch-lightning']}"
    )


class Stolen:
    """How much of a virtual machine's processors others have had, since this was made: what load does not show."""

    def __init__(self) -> None:
        self._start = _processor_ticks()

    def __str__(self) -> str:
        if not self._start:
            return "not known"
        ticks = [now - before for now, before in zip(_processor_ticks(), self._start, strict=True)]
        return f"{100 * ticks[7] / max(1, sum(ticks)):.0f} %"


def _processor_ticks() -> list[int]:
    """User, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)); empty where the system does not say."""
    try:
        return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return []


def alternate(timed: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call every entry once a round, in turn, so that a slow minute of the machine hits all of them alike."""
    return {name: list(values) for name, values in zip(timed, zip(*_rounds(timed, rounds), strict=True), strict=True)}


def _rounds(timed: Mapping[str, Callable[[], float]], rounds: int) -> list[tuple[float, ...]]:
    return [tuple(call() for call in timed.values()) for _ in range(rounds)]


def summary(values: Sequence[float], digits: int = 2) -> str:
    """median (first quartile - third quartile), n."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f}), n={len(values)}"


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round: what both met in the same minute cancels."""
    return [a / b for a, b in zip(of, to, strict=True)]
