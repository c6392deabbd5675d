"""A rank that ends before its time ends the run, in seconds, and the record says which one and why."""

import os
import signal
import time
from pathlib import Path

import own_part
import psutil
import pytest
from ranks import SMALL, TWO, begin_ranks, has_epochs, ranks_below, said, slurm, torchrun, until

from ablate.record import RunRecord
from ablate.sweep.state import state_of
from typed import begin, finish

SOON = 40  # seconds, on a machine that others use too; gloo and NCCL would wait for half an hour
LONG = [*SMALL, *TWO, "callbacks=none", "logger=none", "trainer.max_epochs=400", "hydra.run.dir=run"]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("variables", [torchrun, slurm], ids=["torchrun", "SLURM"])
def test_a_process_that_a_launcher_has_started_is_killed(tmp_path, variables):
    first, other = begin_ranks(tmp_path, LONG, variables=variables)
    until(lambda: has_epochs(tmp_path / "run", 2))
    kill(other.pid)
    assert (finish(first, SOON), finish(other)) == (1, -signal.SIGKILL), said(tmp_path)
    record = RunRecord.read(tmp_path / "run")
    assert (record.status, record.error[:31]) == ("failed", "rank 1 was ended from outside; ")


def test_the_first_process_is_killed(tmp_path):
    first, other = begin_ranks(tmp_path, LONG)
    until(lambda: has_epochs(tmp_path / "run", 2))
    kill(first.pid)
    assert (finish(first), finish(other, SOON)) == (-signal.SIGKILL, 1), said(tmp_path)
    assert RunRecord.read(tmp_path / "run").status == "running"  # nobody was left to say more
    assert state_of(tmp_path / "run").status == "interrupted"


def test_a_process_that_lightning_has_started_follows_the_first(tmp_path):
    run = begin(tmp_path, *LONG)
    until(lambda: has_epochs(tmp_path / "run", 2))
    (other,) = ranks_below(run.pid)
    kill(run.pid)
    until(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE, SOON)
    assert finish(run) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("error", "rank 1 failed: ArithmeticError: of the test"),
        ("memory", "rank 1 failed: out of memory (MemoryError: of the test); to use less: data.batch_size=8 (now 16)"),
    ],
)
def test_a_process_fails_by_itself(tmp_path, does, says):
    first, other = begin_ranks(tmp_path, [*LONG, *own_part.words(tmp_path, 1, does)])
    assert (finish(first, 120), finish(other, SOON)) == (1, 1), said(tmp_path)
    record = RunRecord.read(tmp_path / "run")
    assert record.status == "failed"
    assert record.error.startswith(says)
    assert record.epochs == 1


def test_a_first_process_that_is_stuck_is_ended_too(tmp_path):
    first, other = begin_ranks(tmp_path, [*LONG, *own_part.words(tmp_path, 0, "sleep")])
    until(lambda: has_epochs(tmp_path / "run", 1))
    kill(other.pid)
    began = time.monotonic()
    assert finish(first, SOON) == 1, said(tmp_path)
    assert time.monotonic() - began < SOON
    record = RunRecord.read(tmp_path / "run")
    assert (record.status, record.error[:28]) == ("failed", "rank 1 was ended from outsid")
    assert not (tmp_path / "run" / "lease.json").exists()


def test_a_process_that_lightning_has_started_is_killed(tmp_path):
    """In a sweep, which says the same reason."""
    words = [word for word in LONG if "run.dir" not in word]
    sweep = begin(tmp_path, "-m", "seeds=1", *words, "hydra.sweep.dir=sweep")
    run = tmp_path / "sweep" / "seed=0"
    until(lambda: has_epochs(run, 2))
    (other,) = [each for each in psutil.process_iter() if _is_rank_of(each, tmp_path)]
    kill(other.pid)
    assert finish(sweep, SOON) == 1, said(tmp_path)
    record = RunRecord.read(run)
    assert (record.status, record.error[:30]) == ("failed", "rank 1 was ended by SIGKILL; t")
    assert record.finished
    assert "rank 1 was ended by SIGKILL" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
    assert not list(run.glob(".rank*"))
    assert not (run / "lease.json").exists()


def _is_rank_of(process: psutil.Process, place: Path) -> bool:
    """Whether Lightning has started it for a run whose command was typed in this place."""
    try:
        return "train_ddp_process_" in " ".join(process.cmdline()) and Path(process.cwd()) == place
    except psutil.Error:
        return False
