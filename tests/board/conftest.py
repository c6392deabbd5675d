"""A real sweep of two arms and two seeds, and TensorBoard on it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, tensorboard

ROOT = Path(__file__).parents[2]
SWEEP = [
    "data=digits",
    "model.width=4",
    "trainer=smoke",
    "optimizer.nesterov=true,false",
    "seed=0,1",
    "logger.tensorboard.histograms=true",
]


@pytest.fixture(scope="session")
def sweep(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    command = [sys.executable, ROOT / "train.py", "-m", *SWEEP, f"hydra.sweep.dir={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def dashboards(sweep) -> Iterator[Server]:
    with tensorboard(sweep, num_runs=4, num_ended=4) as server:
        yield server
