"""What ends a run before its time leaves a true record, a good checkpoint and a sentence."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from killing import BATCHES, assert_same_run, attempt, forked, modules_trained

from ablate import checkpoint
from ablate.errors import UserError
from ablate.processes import lease
from ablate.processes.holder import FILE_NAME as LEASE
from ablate.processes.lease import Lease
from ablate.record import RunRecord


def fail(error: BaseException):
    def do() -> None:
        raise error

    return do


@pytest.mark.parametrize("at", [("train_batch", 1, 1), ("epoch_end", 1), ("validation_batch", 2, 0), ("test_batch", 0)])
def test_an_exception_is_in_the_record_and_in_the_log_and_the_run_can_go_on(tmp_path, reference, caplog, at):
    record = attempt(tmp_path, at=at, do=fail(RuntimeError("the fan fell off")))
    assert (record.status, record.error) == ("failed", "RuntimeError: the fan fell off")
    assert RunRecord.read(tmp_path) == record
    assert "Traceback" in caplog.text
    record = attempt(tmp_path)
    assert (record.attempts, record.error) == (2, None)
    assert_same_run(tmp_path, reference)


def test_data_that_turn_out_wrong_after_the_training_cost_the_test_alone(tmp_path, reference, caplog):
    wrong = UserError.of("a picture is cut short", "whole pictures", "rm PICTURE")
    record = attempt(tmp_path, at=("test_batch", 0), do=fail(wrong))
    assert (record.status, record.error) == ("failed", "a picture is cut short")
    assert "rm PICTURE" in caplog.text
    record = attempt(tmp_path)
    assert record.resumed[0]["from_epoch"] == record.config["trainer"]["max_epochs"]
    assert_same_run(tmp_path, reference)


@pytest.mark.parametrize("where", ["train", "val"])
def test_a_loss_that_is_no_number_any_more_ends_the_run_before_its_checkpoint(tmp_path, where):
    def poison() -> None:
        parameter = next(modules_trained[-1].net.parameters())
        torch.nn.init.constant_(parameter, float("nan"))

    at = ("train_batch", 1, 1) if where == "train" else ("train_batch", 1, BATCHES - 1)
    record = attempt(tmp_path, at=at, do=poison)
    assert (record.status, record.error) == ("diverged", f"{where}/loss became nan in epoch 2 of 3")
    assert RunRecord.read(tmp_path) == record
    last = checkpoint.load(tmp_path / "checkpoints/last.ckpt")
    assert last["epoch"] == 0
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    assert sorted(path.name for path in (tmp_path / "gradcam").iterdir()) == ["epoch_000.png"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError("Unable to allocate 3.00 GiB for an array"),
    ],
    ids=["cuda", "torch", "numpy"],
)
def test_out_of_memory_says_which_keys_to_turn(tmp_path, error):
    record = attempt(tmp_path, at=("train_batch", 0, 0), do=fail(error))
    assert record.status == "failed"
    for words in (
        "out of memory",
        "data.batch_size=8 (now 16)",
        "trainer.precision=bf16-mixed",
        "model.width=2 (now 4)",
    ):
        assert words in record.error


def test_memory_that_the_machine_does_not_have_is_such_a_case(tmp_path):
    record = attempt(tmp_path, at=("train_batch", 0, 0), do=lambda: torch.empty(2**55, dtype=torch.uint8))
    assert "data.batch_size=8" in record.error


class Full:
    """Runs in a process whose files may not grow beyond a size: the kernel refuses, as it does on a full disk."""

    def __init__(self, folder: Path, num_bytes: int, *words: str) -> None:
        self.folder, self.num_bytes, self.words = folder, num_bytes, words

    def limit(self) -> None:
        sys.dont_write_bytecode = True  # cut short, such a file would break every later import of it
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.num_bytes, self.num_bytes))

    def __call__(self) -> None:
        record = attempt(self.folder, *self.words, at=("train_batch", 1, 1), do=self.limit)
        assert record.status == "failed", record
        assert "a file is too large" in record.error, record.error
        assert "python -m ablate resume" in record.error


def test_files_that_may_not_grow_end_the_run_with_a_sentence(tmp_path, reference, capfd):
    assert forked(Full(tmp_path, 20_000)) == 0
    assert "Traceback" not in capfd.readouterr().err
    assert RunRecord.read(tmp_path).status == "failed"
    last = checkpoint.load(tmp_path / "checkpoints/last.ckpt")
    assert last["epoch"] == 0
    assert attempt(tmp_path).status == "done"
    assert_same_run(tmp_path, reference)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting takes rights that this user does not have")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Until the disk takes nothing more."""
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_ends_the_run_with_a_sentence_and_loses_nothing(small_disk, reference, capfd):
    folder = small_disk / "run"

    def work() -> None:
        record = attempt(folder, at=("train_batch", 1, 1), do=lambda: fill(small_disk))
        assert record.status == "failed", record
        assert "the disk is full" in record.error, record.error

    assert forked(work) == 0
    assert "Traceback" not in capfd.readouterr().err
    before = RunRecord.read(folder)
    assert before.epochs == 1
    assert checkpoint.load(folder / "checkpoints/last.ckpt")["epoch"] == 0
    (small_disk / "ballast").unlink()
    assert attempt(folder).status == "done"
    assert_same_run(folder, reference)


def test_a_full_disk_at_the_start_is_a_sentence(small_disk):
    fill(small_disk)
    with pytest.raises(UserError, match="No space left on device"):
        attempt(small_disk / "run")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_a_sentence(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match="Permission denied"):
        attempt(tmp_path / "run")


def test_a_read_only_disk_is_a_sentence(small_disk):
    if subprocess.run(["mount", "-o", "remount,ro", small_disk], capture_output=True, check=False).returncode:
        pytest.skip("cannot be mounted so")
    with pytest.raises(UserError, match="Read-only file system"):
        attempt(small_disk / "run")


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        attempt(tmp_path / "run")


def test_a_folder_in_which_another_works_is_left_alone(tmp_path):
    with Lease.take(tmp_path), pytest.raises(UserError, match="is in use by process"):
        attempt(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", ["another's lease", "no lease: the other one is done"])
@pytest.mark.parametrize("at", [("train_batch", 1, 1), ("train_batch", 1, BATCHES - 1), ("test_batch", 0)])
def test_a_run_that_comes_back_after_it_was_taken_over_writes_nothing_more(tmp_path, monkeypatch, at, found):
    """As on a machine that was asleep for longer than others wait for a sign of life."""
    seen = {}

    def sleep_for_long() -> None:
        kept = [path for path in tmp_path.rglob("*") if path.suffix in (".ckpt", ".csv", ".npz", ".json")]
        seen.update({path: path.read_bytes() for path in kept if path.name != LEASE})
        path = tmp_path / LEASE
        if found.startswith("no"):
            path.unlink()
        else:
            path.write_text(json.dumps({**json.loads(path.read_text()), "token": "another"}))
        monkeypatch.setattr(lease, "_awake", lambda: awake() + lease.STALE_SECONDS)

    awake = lease._awake
    monkeypatch.setattr(lease, "RENEW_SECONDS", 60.0)  # nothing but the question before a write can save the folder
    record = attempt(tmp_path, at=at, do=sleep_for_long)
    assert record.status == "failed"
    assert "another process has taken" in record.error
    left = {path for path in tmp_path.rglob("*") if path.suffix in (".ckpt", ".csv", ".npz", ".json")}
    assert {path: path.read_bytes() for path in left if path.name != LEASE} == seen
    assert (tmp_path / LEASE).exists() == (found == "another's lease")
