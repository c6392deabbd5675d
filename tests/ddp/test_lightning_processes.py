"""Runs shared by two processes of which Lightning starts the second, as `trainer=ddp` does, here on the CPU."""

import csv

import numpy as np
from ranks import TWO, said

from ablate.record import RunRecord
from typed import typed

SMOKE = ["experiment=smoke", "callbacks=none", "trainer.accelerator=cpu", *TWO]


def test_a_sweep_of_shared_runs_starts_no_second_sweep(tmp_path):
    assert typed(tmp_path, "-m", *SMOKE, "seeds=2").code == 0, said(tmp_path)
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["sweeps"]
    found = [RunRecord.read(path.parent) for path in sorted(sweep.glob("*/run.json"))]
    assert [(record.status, record.device["count"]) for record in found] == [("done", 2), ("done", 2)]
    for folder in (sweep / "seed=0", sweep / "seed=1"):
        with (folder / "metrics.csv").open() as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["0"]
        with np.load(folder / "predictions.npz") as predictions:
            assert len(predictions["label"]) == 360  # every test picture once
