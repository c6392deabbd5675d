"""Time to the first batch and to the answers of `--help` and `--cfg job`, against what torch and Lightning cost alone.

    python benchmarks/cold_start.py [--rounds 5]

Every command in a fresh process; the files lie in the page cache after the first, uncounted round.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conditions import alternate, print_conditions
from fresh_process import ROOT, cost
from table import Row, markdown

TRAIN, FIRST_BATCH = str(ROOT / "train.py"), str(Path(__file__).with_name("first_batch.py"))
COMMANDS: dict[str, Sequence[str]] = {
    "imports": ["-c", "import torch, pytorch_lightning"],
    "first batch": [FIRST_BATCH, "experiment=smoke"],
    "help": [TRAIN, "--help"],
    "config": [TRAIN, "--cfg", "job"],
}


def rows(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        timed = {
            name: lambda words=words: cost(words, Path(folder)).seconds  # type: ignore[misc]
            for name, words in COMMANDS.items()
        }
        alternate(timed, 1)
        seconds = alternate(timed, rounds)
    return [
        Row("cold start to the first batch", seconds["first batch"], seconds["imports"], "s", at_most=1.3),
        Row("train.py --help", seconds["help"], unit="s", at_most=1.0),
        Row("train.py --cfg job", seconds["config"], unit="s", at_most=1.5),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args().rounds
    print_conditions(f"python benchmarks/cold_start.py --rounds {given}")
    print(markdown(rows(given)))
