"""A run shared by two processes, as `trainer=ddp` starts them, here on the CPU."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

from ablate.record import RunRecord

TRAIN = Path(__file__).parents[2] / "train.py"
SHARED = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]


def test_two_processes_leave_one_record_and_end_well(tmp_path):
    words = [sys.executable, TRAIN, "experiment=smoke", "callbacks=none", *SHARED]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    record = RunRecord.read(folder)
    assert (record.status, record.epochs, record.device["count"]) == ("done", 1, 2)
    with (folder / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0"]
    with np.load(folder / "predictions.npz") as found:
        assert len(found["label"]) == 360  # every test picture once


def test_a_sweep_of_shared_runs_starts_no_second_sweep(tmp_path):
    shared = ["experiment=smoke", "callbacks=none", *SHARED, "seeds=2"]
    done = subprocess.run(
        [sys.executable, TRAIN, "-m", *shared], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["sweeps"]
    found = [RunRecord.read(path.parent) for path in sorted(sweep.glob("*/run.json"))]
    assert [(record.status, record.device["count"]) for record in found] == [("done", 2), ("done", 2)]
