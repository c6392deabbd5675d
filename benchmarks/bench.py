"""All comparisons on a CPU in one table; within 15 minutes on two quiet cores.  python benchmarks/bench.py [--out FILE]

Each part is a file of its own that can be run alone. `--tiny` is for tests: it goes through everything on next to
nothing, and its numbers mean nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cold_start
import ghost_batch_norm
import growth
import loader
import memory
import of_a_sweep
import training_loop
from conditions import Stolen, conditions
from table import Row, markdown, write

from ablate.processes.heap import keep_freed_memory

Part = Callable[[], Iterable[Row]]
FULL: list[Part] = [
    lambda: cold_start.rows(5),
    lambda: training_loop.rows("slim", 16, 128, batches=40, launches=6),
    lambda: training_loop.rows("full", 64, 64, batches=10, launches=6),
    lambda: ghost_batch_norm.rows(15),
    lambda: loader.rows(9),
    lambda: memory.rows(2),
    lambda: growth.rows(3),
    of_a_sweep.rows,
]
TINY: list[Part] = [
    lambda: training_loop.rows("tiny", 2, 32, batches=2, launches=1),
    lambda: [growth.loader_row(10_000, 1)],
    lambda: of_a_sweep.rows(12),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file with all rounds")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    keep_freed_memory()  # as commands do
    head = conditions("python benchmarks/bench.py")
    print(head, flush=True)
    start, stolen, rows = time.perf_counter(), Stolen(), []
    for part in TINY if given.tiny else FULL:
        for row in part():
            print(" ".join(cell for cell in row.cells() if cell), flush=True)  # a sign of life
            rows.append(row)
    minutes = (time.perf_counter() - start) / 60
    print(f"\n{markdown(rows)}\n\n{minutes:.1f} minutes; of the processors other machines had {stolen}")
    if given.out:
        write(rows, given.out, head)


if __name__ == "__main__":
    main()
