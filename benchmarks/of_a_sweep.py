"""What a sweep adds to its runs: the start of the second one, and whether the last ones cost what the first did."""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conditions import print_conditions
from table import Row, markdown

TRAIN = Path(__file__).parents[1] / "train.py"
WORDS = [
    *("data=shapes", "data.source.num_train=80", "data.source.num_test=24", "data.batch_size=16"),
    *("model.width=4", "model.ghost_size=8", "trainer.max_epochs=1", "trainer.accelerator=cpu", "callbacks=none"),
    *("hydra.launcher.threads=1", "hydra.sweep.dir=sweep"),
]


def times_of(runs: int) -> tuple[list[float], list[float], list[int]]:
    """By run: seconds from its start to its end, as the command sees it; the part of them before and after the run's
    own work, which is what starting a process costs; and the command's own memory in bytes at that moment."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", str(TRAIN), "-m", f"seeds={runs}", *WORDS]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        begun, took, overhead, memory = 0.0, [], [], []
        for line in process.stdout:
            if line.startswith("run "):
                begun = time.monotonic()
            elif found := re.match(r"(seed=\d+): ", line):
                took.append(time.monotonic() - begun)
                record = json.loads((Path(folder) / "sweep" / found[1] / "run.json").read_text())
                overhead.append(took[-1] - record["seconds"]["total"])
                status = Path(f"/proc/{process.pid}/status").read_text()
                memory.append(1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1]))  # type: ignore[index]
        assert process.wait() == 0
    return took, overhead, memory


def rows(runs: int = 100) -> list[Row]:
    took, overhead, memory = times_of(runs)
    first, last = took[1:11], took[-10:]  # the first of all also waits for the imports
    return [
        Row("start and end of a sweep's later runs, without the run itself", overhead[1:], unit="s", at_most=1.0),
        Row(f"time of a run, last ten of {runs} against runs 2 to 11", last, first, "s", at_most=1.1),
        Row(
            f"memory of the command, run {runs} against run 10",
            [memory[-1] / 1e6],
            [statistics.median(memory[5:15]) / 1e6],
            "MB",
            at_most=1.1,
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    print_conditions(f"python benchmarks/of_a_sweep.py --runs {given.runs}")
    print(markdown(rows(given.runs)))
