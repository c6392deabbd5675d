"""A run that two processes share is the run of one process with the same batches."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from ranks import SMALL, TWO, said, together

from ablate import checkpoint
from ablate.record import RunRecord
from typed import typed

WORDS = [*SMALL, "callbacks=none", "logger=none", "augmentation=crop_flip", "loss.l1=1e-4"]
# 4 batches of 16 and one of 5, of which the first process takes 3. Plain normalisation over 3 pictures is not that over
# 5: what is compared is a network without any.
RAGGED = ["data.source.num_train=86", "model=plain", "allow_targets=[plain_net]"]
PLAIN = """
from torch import nn

class Plain(nn.Sequential):
    def __init__(self, num_classes, **ignored):
        super().__init__(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(900, num_classes))
"""


def table(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module", params=["64-true", "32-true"])
def pair(request, tmp_path_factory) -> tuple[Path, Path]:
    """One process, two processes."""
    place = tmp_path_factory.mktemp("pair")
    # In single precision this network is a chaos after some steps: what is compared there is one epoch of small ones.
    words = [*WORDS, f"trainer.precision={request.param}"]
    words += ["trainer.max_epochs=1", "optimizer.lr=0.001"] if request.param == "32-true" else []
    assert typed(place, *words, "hydra.run.dir=one").code == 0, said(place)
    assert together(place, [*words, *TWO, "hydra.run.dir=two"]) == [0, 0], said(place)
    return place / "one", place / "two"


def test_every_metric_of_every_epoch_is_the_same(pair):
    one, two = map(table, pair)
    assert len(one) == len(two) >= 1
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    records = [RunRecord.read(folder) for folder in pair]
    assert records[1].metrics == pytest.approx(records[0].metrics, abs=1e-5)
    assert [record.device["count"] for record in records] == [1, 2]


def test_weights_and_running_statistics_are_the_same(pair):
    one, two = (checkpoint.load(folder / checkpoint.FOLDER / checkpoint.LAST)["state_dict"] for folder in pair)
    assert sum("running_var" in name for name in one) == 20
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_predictions_are_of_every_test_picture_once(pair):
    one, two = (np.load(folder / "predictions.npz") for folder in pair)
    assert len(two["label"]) == 24
    np.testing.assert_allclose(two["probability"], one["probability"], atol=1e-4)


def test_a_last_batch_of_uneven_shares_counts_by_its_pictures(tmp_path):
    (tmp_path / "plain_net.py").write_text(PLAIN)
    group = tmp_path / "own" / "model"
    group.mkdir(parents=True)
    (group / "plain.yaml").write_text("_target_: plain_net.Plain\n")
    words = ["--config-dir=own", *(word for word in WORDS if not word.startswith("model.")), *RAGGED]
    assert typed(tmp_path, *words, "hydra.run.dir=one").code == 0, said(tmp_path)
    assert together(tmp_path, [*words, *TWO, "hydra.run.dir=two"]) == [0, 0], said(tmp_path)
    one, two = (table(tmp_path / name) for name in ("one", "two"))
    assert [row["step"] for row in two] == [5, 10]
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
