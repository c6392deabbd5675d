"""Peak memory of a run against the bare loop.  python benchmarks/memory.py [--rounds 3]

The same network, loader and batches in both, each in a fresh process. The run has all that a run has by default:
drawing and dashboards too. `python benchmarks/memory.py --bare WIDTH` is the bare loop.
"""

import argparse
import tempfile
from pathlib import Path

from conditions import alternate, print_conditions
from fresh_process import ROOT, cost
from table import Row, markdown

BATCH, BATCHES = 128, 3
NETWORKS = {"slim": 16, "full": 64}


def bare(width: int) -> None:
    from training_loop import Size, bare_loop, make_data

    size = Size(width, BATCH, BATCHES)
    bare_loop(width, make_data(size))


def run_words(width: int) -> list[str]:
    from training_loop import Size

    return [
        str(ROOT / "train.py"),
        "data=shapes",
        f"data.source.num_train={Size(width, BATCH, BATCHES).num_train}",
        "data.source.num_test=128",
        f"data.batch_size={BATCH}",
        "augmentation=crop_flip",
        f"model.width={width}",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
    ]


def rows(rounds: int) -> list[Row]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, width in NETWORKS.items():
            loops = {
                "run": lambda width=width: cost(run_words(width), Path(folder)).peak_memory,  # type: ignore[misc]
                "bare": lambda width=width: cost([__file__, "--bare", str(width)], Path(folder)).peak_memory,  # type: ignore[misc]
            }
            peaks = alternate(loops, rounds)
            found.append(Row(f"peak memory of a run, {name} network", peaks["run"], peaks["bare"], "MB", at_most=1.15))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", type=int)
    given = parser.parse_args()
    if given.bare:
        bare(given.bare)
    else:
        print_conditions(f"python benchmarks/memory.py --rounds {given.rounds}")
        print(markdown(rows(given.rounds)))
