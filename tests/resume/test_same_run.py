"""A run goes on only as the run it was: the same config, code, data and versions, wherever its folder is."""

import json
import os

import pytest
import torch
from killing import BATCHES, assert_same_run, attempt, files

from ablate import checkpoint
from ablate.errors import UserError
from ablate.record import RunRecord, config_hash
from ablate.reopen import load_classifier


def test_a_finished_run_is_left_as_it_is(reference):
    before = files(reference)
    assert attempt(reference) == RunRecord.read(reference)
    assert files(reference) == before


def test_a_run_of_another_config_is_refused_and_forced(folder):
    before = files(folder)
    with pytest.raises(UserError, match=r"begun with other things: optimizer\.lr=0\.02, now 0\.05"):
        attempt(folder, "optimizer.lr=0.05")
    assert files(folder) == before
    record = attempt(folder, "optimizer.lr=0.05", forced=["optimizer.lr=0.02, now 0.05"])
    assert record.status == "done"
    assert record.resumed[0]["forced"][0] == "optimizer.lr=0.02, now 0.05"
    assert record.config_hash == config_hash(record.config)


def test_what_was_forced_once_stays_forced_when_the_run_dies_before_its_next_checkpoint(folder):
    def die() -> None:
        raise KeyboardInterrupt

    first = attempt(folder, "optimizer.lr=0.05", forced=["optimizer.lr=0.02, now 0.05"], at=("train_start",), do=die)
    assert first.status == "interrupted"
    second = attempt(folder, "optimizer.lr=0.05")
    assert second.status == "done"
    assert second.resumed[1]["forced"] == first.resumed[0]["forced"][-1:]  # the checkpoint is still of the other config


@pytest.mark.parametrize("what", ["data_checksum", "initial_weights_hash", "code", "torch"])
def test_other_data_weights_code_or_versions_are_refused(folder, what):
    content = json.loads((folder / "run.json").read_text())
    (content["versions"] if what == "torch" else content)[what] = "1.2.3"
    (folder / "run.json").write_text(json.dumps(content))
    before = files(folder)
    with pytest.raises(UserError, match=rf"{what.replace('_', ' ')} 1\.2\.3, now"):
        attempt(folder)
    assert files(folder) == before
    assert attempt(folder, forced=[]).status == "done"


def test_a_machine_that_computes_ghost_batch_norm_in_another_way_is_refused(folder, monkeypatch):
    before = files(folder)
    with monkeypatch.context() as patch:
        patch.setattr("ablate.build.kernels_for", lambda device: None)
        with pytest.raises(UserError, match="ghost batch norm in compiled kernels, now in plain operations"):
            attempt(folder)
    assert files(folder) == before
    assert attempt(folder).status == "done"


def test_a_moved_folder_with_a_difficult_name_goes_on(folder, reference, tmp_path):
    moved = tmp_path / "näme 'with' \"quotes\", a=b,[c] & 100% ✓" / "lr=0.1,seed=0"
    moved.parent.mkdir()
    folder.rename(moved)
    assert attempt(moved).status == "done"
    assert_same_run(moved, reference)
    load_classifier(moved)


def test_the_number_of_threads_is_that_of_the_first_attempt(folder):
    content = json.loads((folder / "run.json").read_text())
    content["device"]["threads"] = 2
    (folder / "run.json").write_text(json.dumps(content))
    seen = []

    def look() -> None:
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    record = attempt(folder, at=("train_start",), do=look)
    assert seen == [2]
    assert record.device["threads"] == 2
    assert torch.get_num_threads() == 1


def test_the_last_checkpoint_is_newer_than_the_best_by_its_place_not_its_time(folder):
    checkpoints = folder / "checkpoints"
    os.utime(checkpoints / "last.ckpt", (0, 0))  # a clock that jumped
    found = checkpoint.newest(checkpoints, lambda _: None)
    assert found.name == "last.ckpt"
    assert checkpoint.place_of(found.content) == (2 * BATCHES, 2)
