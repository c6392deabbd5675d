"""Ctrl-C and SIGTERM: a checkpoint at the next batch, and the rest from there; the second one ends a run at once."""

import signal
import threading
from pathlib import Path

import pytest
from killing import BATCHES, assert_same_run, attempt, die, forked

from ablate import checkpoint
from ablate.record import RunRecord

LAST_BATCH = BATCHES - 1


def place(folder: Path) -> tuple[int, int]:
    return checkpoint.place_of(checkpoint.load(folder / "checkpoints/last.ckpt"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_run_stops_at_the_next_batch_and_goes_on_from_there(tmp_path, reference, number):
    record = attempt(tmp_path, at=("train_batch", 1, 2), do=die(number))
    assert (record.status, record.error) == ("interrupted", f"stopped by {number.name}")
    assert RunRecord.read(tmp_path) == record
    assert place(tmp_path) == (BATCHES + 3, 1)
    record = attempt(tmp_path)
    assert record.resumed[0]["from_epoch"] == 1
    assert_same_run(tmp_path, reference)


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (("train_batch", 0, 0), (1, 0)),
        (("train_batch", 1, LAST_BATCH), (2 * BATCHES, 1)),  # written in the validation
        (("validation_batch", 0, 0), (BATCHES, 0)),
        (("epoch_end", 1), (2 * BATCHES, 2)),
        (("epoch_start", 2), (2 * BATCHES, 2)),
        (("train_end",), (3 * BATCHES, 3)),
        (("test_batch", 0), (3 * BATCHES, 3)),
    ],
    ids=str,
)
def test_it_stops_well_wherever_the_training_is(tmp_path, reference, at, written):
    record = attempt(tmp_path, at=at, do=die(signal.SIGTERM))
    assert record.status == "interrupted"
    assert place(tmp_path) == written
    attempt(tmp_path)
    assert_same_run(tmp_path, reference)


def test_stopped_in_every_batch_it_still_comes_out_the_same(tmp_path, reference):
    for number in range(3 * BATCHES):
        epoch, batch = divmod(number, BATCHES)
        attempt(tmp_path, at=("train_batch", epoch, batch), do=die(signal.SIGINT))
    record = attempt(tmp_path)
    assert record.attempts == 3 * BATCHES + 1
    assert_same_run(tmp_path, reference)


def test_the_second_signal_ends_it_at_once(tmp_path):
    reached = []

    def twice() -> None:
        die(signal.SIGINT)()
        die(signal.SIGTERM)()
        reached.append("past it")

    record = attempt(tmp_path, at=("train_batch", 1, 1), do=twice)
    assert (record.status, record.error) == ("interrupted", "stopped by SIGINT")
    assert reached == []
    assert place(tmp_path) == (BATCHES, 1)


def test_while_the_parts_are_made_the_first_signal_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr("ablate.build.make_data", lambda _: die(signal.SIGTERM)())
    assert attempt(tmp_path).status == "interrupted"


def test_before_anything_was_changed_nothing_is(tmp_path, monkeypatch):
    attempt(tmp_path, at=("train_batch", 1, 1), do=die(signal.SIGINT))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr("ablate.build.make_data", lambda _: die(signal.SIGTERM)())
    assert attempt(tmp_path).status == "interrupted"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_afterwards_the_signals_do_what_they_did_before(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    attempt(tmp_path, at=("train_batch", 0, 1), do=die(signal.SIGINT))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_gradients_half_accumulated_are_not_cut_off(tmp_path):
    words = ["trainer.accumulate_grad_batches=2"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    attempt(whole, *words)
    attempt(parts, *words, at=("train_batch", 1, 2), do=die(signal.SIGTERM))
    assert place(parts) == (3 + 2, 1)  # three updates an epoch; the second of this one is that of batches 2 and 3
    attempt(parts, *words)
    assert (parts / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert (parts / "predictions.npz").read_bytes() == (whole / "predictions.npz").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["SIGINT", "SIGKILL"])
def test_with_loader_workers(tmp_path, reference, number):
    assert forked(lambda: attempt(tmp_path, "data.num_workers=2", at=("train_batch", 1, 2), do=die(number))) in (0, -9)
    record = attempt(tmp_path, "data.num_workers=2")
    assert record.status == "done"
    for name in ("metrics.csv", "predictions.npz"):
        assert (tmp_path / name).read_bytes() == (reference / name).read_bytes()


def test_in_another_thread_a_run_goes_without_them(tmp_path):
    records = []
    thread = threading.Thread(target=lambda: records.append(attempt(tmp_path, "logger=none")))
    thread.start()
    thread.join()
    assert records[0].status == "done"
