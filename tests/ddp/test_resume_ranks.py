"""A run of two processes that was broken off ends with the bytes of one that nobody disturbed; its files are written
by the first process alone, with everything that looks at a training switched on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import SMALL, TWO, begin_ranks, has_epochs, said, together, until
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate import checkpoint
from ablate.record import RunRecord
from typed import begin, finish, typed

LOOKING = ["callbacks.gradcam.num_images=2", "callbacks.pictures_in.num_images=1", "~callbacks.progress"]
WORDS = [*SMALL, *TWO, *LOOKING, "trainer.max_epochs=6", "augmentation=crop_flip", "optimizer.lr=0.02"]
EXACT = ("metrics.csv", "predictions.npz", "curves.png", "confusion.png", "calibration.png", "misclassified.png")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The run that nobody disturbed."""
    place = tmp_path_factory.mktemp("whole")
    assert together(place, [*WORDS, "hydra.run.dir=run"]) == [0, 0], said(place)
    return place / "run"


def assert_same(folder: Path, whole: Path) -> None:
    ours, theirs = RunRecord.read(folder), RunRecord.read(whole)
    assert (ours.status, ours.metrics, ours.checkpoint) == ("done", theirs.metrics, theirs.checkpoint)
    assert ours.attempts == 2
    for name in EXACT:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    for name in (checkpoint.BEST, checkpoint.LAST):
        a, b = (checkpoint.load(each / checkpoint.FOLDER / name) for each in (folder, whole))
        assert a["global_step"] == b["global_step"]
        assert a["state_dict"].keys() == b["state_dict"].keys()
        assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"]), name


def charts(folder: Path) -> dict[str, Any]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    scalars = {tag: [each.step for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return scalars | {tag: [each.step for each in events.Images(tag)] for tag in events.Tags()["images"]}


def test_everything_is_written_once(whole):
    assert len(list(whole.glob("events.out.tfevents.*"))) == 1
    shown = charts(whole)
    assert shown["val/accuracy"] == [4 * epoch + 3 for epoch in range(6)]
    assert len(shown["confusion/counts"]) == 1
    assert [path.name for path in sorted((whole / "gradcam").iterdir())] == [
        *("epoch_000.png", "epoch_004.png", "epoch_005.png")
    ]
    for name in ("metrics.csv", "timings.csv"):
        assert len((whole / name).read_text().splitlines()) == 1 + 6
    assert not list(whole.glob(".rank*"))
    assert sorted(path.name for path in whole.glob("*.log")) == ["train.log", "train_ddp_process_1.log"]
    assert (whole / "train_ddp_process_1.log").read_text() == ""
    assert said(whole.parent).count("test accuracy") == 1


def test_what_looks_at_a_training_leaves_it_as_it_is(whole, tmp_path):
    words = [word for word in WORDS if not word.startswith(("callbacks", "~"))]
    assert together(tmp_path, [*words, "callbacks=none", "logger=none", "hydra.run.dir=run"]) == [0, 0], said(tmp_path)
    without, with_all = (
        checkpoint.load(folder / checkpoint.FOLDER / checkpoint.LAST)["state_dict"]
        for folder in (tmp_path / "run", whole)
    )
    assert all(torch.equal(without[key], with_all[key]) for key in with_all)


def test_stopped_by_a_launcher_and_started_by_it_again(whole, tmp_path):
    ranks = begin_ranks(tmp_path, [*WORDS, "hydra.run.dir=run"])
    until(lambda: has_epochs(tmp_path / "run", 2))
    for rank in ranks:
        os.kill(rank.pid, signal.SIGTERM)
    assert [finish(rank) for rank in ranks] == [143, 1], said(tmp_path)
    record = RunRecord.read(tmp_path / "run")
    assert (record.status, record.error) == ("interrupted", "stopped by SIGTERM")
    assert together(tmp_path, ["resume", "run"]) == [0, 0], said(tmp_path)
    assert RunRecord.read(tmp_path / "run").resumed[0]["from_epoch"] >= 1
    assert_same(tmp_path / "run", whole)


def test_killed_hard_under_a_launcher_and_gone_on_with_by_lightning(whole, tmp_path):
    ranks = begin_ranks(tmp_path, [*WORDS, "hydra.run.dir=run"])
    until(lambda: has_epochs(tmp_path / "run", 2))
    for rank in ranks:
        rank.kill()
    assert [finish(rank) for rank in ranks] == [-signal.SIGKILL] * 2
    assert typed(tmp_path, "resume", "run").code == 0, said(tmp_path)
    assert_same(tmp_path / "run", whole)


def test_stopped_and_resumed_in_a_sweep(whole, tmp_path):
    """Lightning starts the second process, with the words of the first: that must not begin a sweep of its own."""
    sweep = begin(tmp_path, "-m", "seeds=1", *WORDS)
    run = until(lambda: next((path for path in (tmp_path / "outputs").glob("sweeps/*/seed=0")), None))
    until(lambda: has_epochs(run, 2))
    os.kill(sweep.pid, signal.SIGTERM)
    assert finish(sweep) == 143, said(tmp_path)
    record = RunRecord.read(run)
    assert (record.status, record.error) == ("interrupted", "stopped by SIGTERM")
    assert typed(tmp_path, "resume", str(run.parent)).code == 0, said(tmp_path)
    assert RunRecord.read(run).device["count"] == 2
    assert_same(run, whole)
    assert list((tmp_path / "outputs").iterdir()) == [run.parent.parent]
    assert list(run.parent.parent.iterdir()) == [run.parent]
    assert [path for path in run.parent.iterdir() if path.is_dir() and path != run] == []
