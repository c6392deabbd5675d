"""Interrupted and resumed is the same as uninterrupted, to the last bit, wherever it was."""

import pytest
from killing import BATCHES, assert_same_run, attempt, killed

from ablate.record import RunRecord

LAST_BATCH = BATCHES - 1


@pytest.mark.parametrize(
    ("at", "goes_on_from"),
    [
        (("train_batch", 0, 2), (0, None)),  # before there is any checkpoint
        (("train_batch", 1, 3), (1, "last.ckpt")),
        (("train_batch", 2, LAST_BATCH), (2, "last.ckpt")),
        (("validation_batch", 1, 0), (1, "last.ckpt")),
        (("epoch_end", 0), (0, None)),
        (("epoch_end", 2), (2, "last.ckpt")),
        (("epoch_start", 1), (0, None)),  # the epoch before has ended, and is not written yet
        (("train_end",), (2, "last.ckpt")),
        (("test_batch", 1), (3, "last.ckpt")),
    ],
    ids=str,
)
def test_killed(tmp_path, reference, at, goes_on_from):
    killed(tmp_path, at=at)
    assert RunRecord.read(tmp_path).status == "running"
    record = attempt(tmp_path)
    assert record.attempts == 2
    assert (record.resumed[0]["from_epoch"], record.resumed[0]["from_checkpoint"]) == goes_on_from
    assert_same_run(tmp_path, reference)
