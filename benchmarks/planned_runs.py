"""What a sweep costs before it is begun: hours by number of GPUs, from pictures a second.

    python benchmarks/planned_runs.py [--speed NAME=PICTURES_PER_SECOND ...]

Runs are independent, so GPU hours do not depend on the number of GPUs, but for what the last round leaves idle. A run
trains on its pictures once an epoch, validates on the rest, and tests once; a picture that is only looked at is a third
of one that is trained on. `images_per_second` of a run's record, or of the table in its report, is the speed to give.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GPUS = (1, 8, 64)
START_SECONDS = 10.0  # a run with an interpreter of its own, as on a cluster; in a local sweep the later ones take 0.3
LOOKED_AT = 1 / 3


@dataclass(frozen=True)
class Sweep:
    """`train`, `val`, `test`: pictures."""

    what: str
    runs: int
    epochs: int
    train: int
    val: int
    test: int

    def hours_of_a_run(self, pictures_per_second: float) -> float:
        pictures = self.epochs * (self.train + LOOKED_AT * self.val) + LOOKED_AT * self.test
        return (pictures / pictures_per_second + START_SECONDS) / 3600


CIFAR = {"epochs": 30, "train": 47_500, "val": 2_500, "test": 10_000}
SWEEPS = (
    Sweep("Nesterov, 2 arms x 10 seeds", 20, **CIFAR),
    Sweep("the same, 37 seeds: enough for 0.1 points", 74, **CIFAR),
    Sweep("10 learning rates x 5 weight decays x 5 seeds", 250, **CIFAR),
    Sweep("10,000 runs", 10_000, **CIFAR),
)
SPEEDS: Mapping[str, tuple[float, str]] = {
    "two CPU cores, slim network": (1_190, "ours: RESULTS.md, training loop, n = 7"),
    "two CPU cores, full network": (60, "ours: 55 to 65 on such cores, n not kept"),
    "a Colab GPU, full network": (50_000 / 58, "not ours: 58 s an epoch, the course's author, 1 run"),
    "an A100, full network": (50_000 / 2.0, "not ours: 2.0 s an epoch, KellerJordan/cifar10-zoo, plain batch norm"),
}


def hours(sweep: Sweep, pictures_per_second: float, num_gpus: int) -> float:
    """On the clock: rounds of as many runs at once as there are GPUs."""
    return math.ceil(sweep.runs / num_gpus) * sweep.hours_of_a_run(pictures_per_second)


def table(speeds: Mapping[str, tuple[float, str]]) -> str:
    lines = []
    for name, (speed, source) in speeds.items():
        lines += [f"{name}, {speed:,.0f} pictures/s ({source}):", ""]
        lines += [_row(["sweep, 30 epochs of CIFAR-10", "runs", "device hours", *(f"hours on {n}" for n in GPUS)])]
        lines += ["|---|" + "--:|" * (2 + len(GPUS))]
        for sweep in SWEEPS:
            all_in_all = sweep.runs * sweep.hours_of_a_run(speed)
            lines += [_row([sweep.what, f"{sweep.runs:,}", *map(_short, [all_in_all, *_each(sweep, speed)])])]
        lines += [""]
    return "\n".join(lines).rstrip()


def _each(sweep: Sweep, speed: float) -> list[float]:
    return [hours(sweep, speed, num_gpus) for num_gpus in GPUS]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="append", default=[], metavar="NAME=N", help="pictures/s that you measured")
    given = dict(word.rsplit("=", 1) for word in parser.parse_args().speed)
    print(table({name: (float(speed), "yours") for name, speed in given.items()} or SPEEDS))


if __name__ == "__main__":
    main()
