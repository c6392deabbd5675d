"""Whether trainings before and after a change agree: python benchmarks/curves.py BEFORE AFTER

Two sweeps of the same config and seeds, made by the code before and after. For every epoch and quantity, and for the
test: the mean over seeds of after - before, and its 95 % t interval. Where nothing has changed but rounding, one
interval in twenty still leaves out zero.
"""

import argparse
import csv
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from scipy import stats

from ablate.record import RunRecord

QUANTITIES = ("train/loss", "val/loss", "val/accuracy")
Curves = dict[int, tuple[RunRecord, list[dict[str, str]]]]  # by seed: the record, the rows by epoch


def read(sweep: Path) -> Curves:
    runs = {}
    for path in sorted(sweep.glob("*/run.json")):
        record = RunRecord.read(path.parent)
        if record.status == "done":
            with (path.parent / "metrics.csv").open(encoding="utf-8") as file:
                runs[record.seed] = (record, list(csv.DictReader(file)))
    return runs


def compare(before: Curves, after: Curves) -> Iterator[tuple[str, list[float], list[float]]]:
    """(what, values before by seed, values after by seed)"""
    seeds = sorted(before.keys() & after.keys())
    for epoch in range(len(before[seeds[0]][1])):
        for name in QUANTITIES:
            a, b = ([float(runs[seed][1][epoch][name]) for seed in seeds] for runs in (before, after))
            yield f"epoch {epoch + 1}, {name}", a, b
    a, b = ([runs[seed][0].metrics["test/accuracy"] for seed in seeds] for runs in (before, after))
    yield "test/accuracy", a, b


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % t interval of the mean."""
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    middle = statistics.mean(differences)
    return middle - half, middle + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    off = total = 0
    print("| what | before | after | after - before, 95 % | n |\n|---|--:|--:|---|--:|")
    for what, before, after in compare(read(given.before), read(given.after)):
        low, high = interval([b - a for a, b in zip(before, after, strict=True)])
        total, off = total + 1, off + (not low <= 0 <= high)
        means = f"{statistics.mean(before):.4f} | {statistics.mean(after):.4f}"
        print(f"| {what} | {means} | {low:+.4f} to {high:+.4f} | {len(before)} |")
    print(f"\n{off} of {total} intervals leave out zero.")


if __name__ == "__main__":
    main()
