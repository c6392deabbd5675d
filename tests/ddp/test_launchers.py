"""Processes that torchrun or SLURM start: one run, one folder, one record."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from ranks import SMALL, TWO, begin_ranks, free_port, has_epochs, said, slurm, together, torchrun, until

from ablate.errors import UserError
from ablate.ranks.company import meet
from ablate.record import RunRecord
from typed import CONF, LOG, finish

QUICK = [*SMALL, "callbacks=none", "logger=none", "trainer.max_epochs=1"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def the_run(place: Path) -> Path:
    (folder,) = (place / "outputs" / "runs").iterdir()
    return folder


@pytest.mark.parametrize("variables", [torchrun, slurm], ids=["torchrun", "SLURM"])
def test_one_command_in_two_processes_is_one_run(tmp_path, variables):
    assert together(tmp_path, [*QUICK, *TWO], variables=variables) == [0, 0], said(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG, "outputs"]
    record = RunRecord.read(the_run(tmp_path))
    assert (record.status, record.device["count"], record.epochs) == ("done", 2, 1)
    assert said(tmp_path).count("test accuracy") == 1


def test_two_machines_with_torchrun_are_one_run(tmp_path):
    meeting = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{free_port()}"]
    words = [*QUICK, "trainer.devices=1", "trainer.num_nodes=2", "trainer.strategy=ddp"]
    command = [*TORCHRUN, *meeting, str(CONF.parent / "train.py"), *words]
    with (tmp_path / LOG).open("w") as log:
        nodes = [subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log) for _ in range(2)]
        assert [node.wait(200) for node in nodes] == [0, 0], said(tmp_path)
    record = RunRecord.read(the_run(tmp_path))
    assert (record.status, record.device["count"]) == ("done", 2)


def test_a_rank_that_dies_under_torchrun(tmp_path):
    words = [*QUICK, *TWO, "trainer.max_epochs=400", "hydra.run.dir=run"]
    command = [*TORCHRUN, "--standalone", "--nproc_per_node=2", str(CONF.parent / "train.py"), *words]
    with (tmp_path / LOG).open("w") as log:
        agent = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        until(lambda: has_epochs(tmp_path / "run", 2))
        children = psutil.Process(agent.pid).children()
        (other,) = [child for child in children if child.environ().get("RANK") == "1"]
        os.kill(other.pid, signal.SIGKILL)
        assert agent.wait(60) == 1
    record = RunRecord.read(tmp_path / "run")
    assert (record.status, record.error[:30]) == ("failed", "rank 1 was ended from outside;")


@pytest.mark.parametrize("variables", [torchrun, slurm], ids=["torchrun", "SLURM"])
def test_processes_that_see_different_configs_are_refused(tmp_path, variables):
    ranks = begin_ranks(tmp_path, [*QUICK, *TWO], variables=variables, more=[[], ["optimizer.lr=0.3", "seed=4"]])
    assert [finish(rank, 60) for rank in ranks] == [2, 2]
    text = said(tmp_path)
    assert text.count("allowed: one config, one code") == text.count("type:    the same words") == 2
    assert text.count("has optimizer.lr=0.05, scheduler.max_lr=0.05, seed=0; rank 1 on ") == 2
    assert text.count("has optimizer.lr=0.3, scheduler.max_lr=0.3, seed=4\n") == 2
    assert [path.name for path in tmp_path.iterdir()] == [LOG]


def test_data_that_cannot_be_used_is_told_once_and_nothing_is_left(tmp_path):
    assert together(tmp_path, [*QUICK, *TWO, "data.batch_size=1024"]) == [2, 2]
    assert said(tmp_path).count("allowed:") == 1
    assert [path.name for path in tmp_path.iterdir()] == [LOG]


def test_processes_that_do_not_come_are_not_waited_for(monkeypatch):
    for name, value in torchrun(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"torchrun was to start 2 processes (.|\n)*within 0.5 seconds\n(.|\n)*type:"):
        meet({"seed": 0}, seconds=0.5)


def test_a_process_alone_meets_nobody(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert meet({"seed": 0}) is None
