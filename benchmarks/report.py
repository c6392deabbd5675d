"""Time to make a report, from nothing to the files on disk.  python benchmarks/report.py [--runs 1000]

Made-up sweeps of several shapes, 10,000 test pictures and 30 epochs a run. A fresh interpreter each, imports included.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conditions import print_conditions

sys.path.append(str(Path(__file__).parents[1] / "tests" / "report"))
from synthetic_sweep import write_sweep

MAKE = "import sys; from pathlib import Path; from ablate.report.command import report; report([Path(sys.argv[1])])"
ROUNDS = 3


def seconds(folder: Path) -> tuple[float, float]:
    """On the wall, and of processor time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    print_conditions(f"python benchmarks/report.py --runs {runs}")
    shapes = {
        "two arms": ({"optimizer.nesterov": [True, False]}, runs // 2),
        "ten arms": ({"optimizer.lr": [i / 100 for i in range(1, 11)]}, runs // 10),
        "a hundred arms": ({"optimizer.lr": [i / 100 for i in range(1, 101)]}, runs // 100),
        "two factors": ({"optimizer.nesterov": [True, False], "optimizer.lr": [0.05, 0.1]}, runs // 4),
        "a tenth of the runs": ({"optimizer.nesterov": [True, False]}, runs // 20),
    }
    for name, (factors, seeds) in shapes.items():
        with tempfile.TemporaryDirectory() as folder:
            write_sweep(Path(folder), factors, range(seeds), num_pictures=10_000, num_epochs=30)
            times = [seconds(Path(folder)) for _ in range(ROUNDS)]
            size = (Path(folder) / "report.html").stat().st_size
        arms = " x ".join(str(len(levels)) for levels in factors.values())
        walls, used = ([f"{each:.1f}" for each in sorted(column)] for column in zip(*times, strict=True))
        measured = f"{', '.join(walls)} s, {', '.join(used)} s of processor time"
        print(f"{name:20s} {arms:>5s} arms x {seeds:3d} seeds: {measured}, page {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
