"""A step in a process that keeps what it frees, as commands do, against one that gives it back, as glibc does.

    python benchmarks/freed_memory.py [--width 16] [--batch 128] [--batches 60] [--launches 4]

The bare loop of `training_loop.py` in both, batch by batch in turns. Page faults are of a whole process, by batch.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
from functools import partial

from conditions import print_conditions
from table import Row, markdown
from training_loop import WARM_UP, Size, bare
from turns import Over, Taken, take_turns

from ablate.processes.heap import USERS, keep_freed_memory


def step(size: Size, *, kept: bool) -> float:
    """Page faults a batch."""
    if kept:
        keep_freed_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with contextlib.suppress(Over):
        bare(size)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / size.batches


def measure(size: Size, batches: int) -> dict[str, Taken]:
    loops = {name: partial(step, size, kept=name == "kept") for name in ("kept", "given back")}
    return take_turns(loops, batches, WARM_UP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=60, help="a launch")
    parser.add_argument("--launches", type=int, default=4)
    given = parser.parse_args()
    words = " ".join(f"--{name} {getattr(given, name)}" for name in ("width", "batch", "batches", "launches"))
    print_conditions(f"python benchmarks/freed_memory.py {words}")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for name in [name for name in os.environ if name.startswith(USERS)]:
        del os.environ[name]
    multiprocessing.set_forkserver_preload(["ablate.run"])
    size = Size(given.width, given.batch, WARM_UP + given.batches + 2)
    launched = [measure(size, given.batches) for _ in range(given.launches)]
    seconds, faults = (
        [[of(taken[name]) for taken in launched] for name in ("kept", "given back")]
        for of in (Taken.typical, lambda taken: taken.returned)
    )
    print(markdown([Row("a step", *seconds, "s"), Row("page faults a batch, start included", *faults, "")]))


if __name__ == "__main__":
    main()
