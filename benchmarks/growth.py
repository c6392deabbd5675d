"""Whether cost stays in proportion: the report in the number of runs, the loader in the number of pictures.

    python benchmarks/growth.py [--rounds 3] [--pictures 1000000]

The number is the time for ten times as much (for twice the runs) over ten times (twice) the time: 1 is proportional.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from conditions import alternate, print_conditions
from fresh_process import ROOT, cost
from table import Row, markdown

from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.source import Pictures
from report import MAKE

sys.path.append(str(ROOT / "tests" / "report"))
from synthetic_sweep import write_sweep

AT_MOST = 1.15  # of what proportion allows


class Generated:
    """`count` pictures of noise, a thousand different ones in turn."""

    classes = tuple("0123456789")
    image_size = 32

    def __init__(self, count: int) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
        self._pictures = Pictures(np.tile(noise, (count // 1000, 1, 1, 1)), np.arange(count) % 10)

    def train(self) -> Pictures:
        return self._pictures

    def test(self) -> Pictures:
        return self._pictures


def epoch(count: int) -> float:
    """Seconds of setting up the data and of one training epoch, crops and mirror images, without workers."""
    last = {"normalize": A.Normalize((0.5,) * 3, (0.5,) * 3), "tensor": A.ToTensorV2()}
    crops = {"pad": A.PadIfNeeded(40, 40, fill=0), "crop": A.RandomCrop(32, 32), "flip": A.HorizontalFlip()}
    source = Generated(count)
    start = time.perf_counter()
    augmentation = Augmentation({**crops, **last}, last)
    data = ClassificationData(source, augmentation, batch_size=512, val_fraction=0.1, seed=0)
    data.setup("fit")
    for _ in data.train_dataloader():
        pass
    return time.perf_counter() - start


def loader_row(pictures: int, rounds: int) -> Row:
    few = pictures // 10
    seconds = alternate({"few": lambda: epoch(few), "many": lambda: epoch(pictures)}, rounds)
    ours, theirs = seconds["many"], [10 * each for each in seconds["few"]]
    return Row(f"loader, {pictures:,} pictures against 10 x {few:,}", ours, theirs, "s", at_most=AT_MOST)


def report_row(runs: int, rounds: int) -> Row:
    """Without what a report of next to nothing costs, which is imports."""
    factors = {"optimizer.nesterov": [True, False]}
    with tempfile.TemporaryDirectory() as folder:
        counts = {"four": 4, "half": runs // 2, "all": runs}
        for name, count in counts.items():
            write_sweep(Path(folder) / name, factors, range(count // 2), num_pictures=10_000, num_epochs=30)
        timed = {
            name: lambda name=name: cost(["-c", MAKE, name], Path(folder)).seconds  # type: ignore[misc]
            for name in counts
        }
        seconds = alternate(timed, rounds)
    rest = {name: [a - b for a, b in zip(seconds[name], seconds["four"], strict=True)] for name in ("half", "all")}
    what = f"report, {runs:,} runs against 2 x {runs // 2:,}, imports left out"
    return Row(what, rest["all"], [2 * each for each in rest["half"]], "s", at_most=AT_MOST)


def rows(rounds: int, pictures: int = 1_000_000, runs: int = 1000) -> list[Row]:
    return [report_row(runs, rounds), loader_row(pictures, rounds)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1000)
    given = parser.parse_args()
    print_conditions(f"python benchmarks/growth.py --rounds {given.rounds} --pictures {given.pictures}")
    print(markdown(rows(given.rounds, given.pictures, given.runs)))
