"""Sweeps on a real SLURM of one node: whole ones, and with runs that fail, die and are sent away."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from on_slurm import BREAKS, ON_SLURM, RUN, Release, records, until

from ablate.sweep.manifest import Manifest
from typed import LOG, begin, finish, typed

ENDS = ("raise", "die", "die_with_the_task", "preempt", "requeue")


def statuses(sweep):
    return {name: record.status for name, record in records(sweep).items()}


def submissions(sweep):
    return json.loads((sweep / "jobs.json").read_text())["submissions"]


@pytest.fixture(scope="module")
def two_by_two(cluster, tmp_path_factory):
    place = tmp_path_factory.mktemp("two_by_two")
    words = ["-m", "optimizer.nesterov=true,false", "seeds=2", *RUN, *ON_SLURM, "hydra.sweep.dir=sweep"]
    return place / "sweep", typed(place, *words, **cluster.environment)


def test_a_sweep_is_one_job_array(two_by_two, cluster):
    sweep, done = two_by_two
    assert done.code == 0, done.output
    (submission,) = submissions(sweep)
    job = submission["job"]
    assert {f"{job}_{task}": "COMPLETED" for task in range(4)}.items() <= _when_over(cluster, job).items()
    assert cluster.ask("sacct", "--noheader", "-X", f"--jobs={job}", "--format=State").split() == ["COMPLETED"] * 4


def test_it_leaves_what_a_sweep_on_one_machine_leaves(two_by_two):
    sweep, done = two_by_two
    assert list(statuses(sweep).values()) == ["done"] * 4
    assert {run.status for run in Manifest.read(sweep).runs.values()} == {"done"}
    assert {record.variant["optimizer.nesterov"] for record in records(sweep).values()} == {True, False}
    assert "2 paired seeds" in done.output
    assert (sweep / "report.html").is_file()
    assert (sweep / "nesterov=true,seed=0" / "train.log").is_file()


def test_it_trains_the_networks_that_one_machine_trains(two_by_two, tmp_path):
    sweep, _ = two_by_two
    words = ["optimizer.nesterov=false", "seed=1", *RUN, "hydra.run.dir=run"]
    assert typed(tmp_path, *words).code == 0
    assert_same_networks(sweep / "nesterov=false,seed=1", tmp_path / "run")


@pytest.fixture(scope="module")
def ends(cluster, tmp_path_factory):
    """One sweep, every run of which ends in another way; the preempted ones are let go on at once."""
    place = tmp_path_factory.mktemp("ends")
    how = f"+callbacks.breaks.how={','.join(ENDS)}"
    words = ["-m", how, *RUN, *BREAKS, *ON_SLURM, "hydra.sweep.dir=sweep"]
    process = begin(place, *words, **cluster.environment)
    release = Release(cluster)
    until(lambda: release() or not process.is_alive(), 400)
    found = {record.variant["callbacks.breaks.how"]: record for record in records(place / "sweep").values()}
    return place / "sweep", finish(process), found


def test_one_run_that_fails_never_stops_the_others(ends):
    sweep, code, found = ends
    expected = {**dict.fromkeys(ENDS[:3], "failed"), **dict.fromkeys(ENDS[3:], "done")}
    assert {how: record.status for how, record in found.items()} == expected, (sweep.parent / LOG).read_text()
    assert code == 1


def test_every_end_has_its_reason(ends):
    sweep, _, found = ends
    assert found["raise"].error == "RuntimeError: something of the user's own"
    assert "ended by signal 9 (SIGKILL" in found["die"].error
    assert "ended without a word of it: FAILED" in found["die_with_the_task"].error
    manifest = {run.folder: run.reason for run in Manifest.read(sweep).runs.values()}
    assert manifest == {name: record.error for name, record in records(sweep).items()}


@pytest.mark.parametrize("how", ENDS[3:])
def test_a_run_that_is_sent_away_goes_on_with_the_same_bytes(ends, how, tmp_path):
    sweep, _, found = ends
    record = found[how]
    assert (record.status, record.attempts) == ("done", 2)
    assert (record.resumed[0]["from_epoch"], record.resumed[0]["from_checkpoint"]) == (1, "last.ckpt")
    (name,) = (name for name, each in records(sweep).items() if each.variant["callbacks.breaks.how"] == how)
    assert typed(tmp_path, f"+callbacks.breaks.how={how}", *RUN, *BREAKS, "hydra.run.dir=run").code == 0
    assert_same_networks(sweep / name, tmp_path / "run")


def test_two_processes_share_a_run(cluster, tmp_path):
    shared = ["trainer.devices=2", "trainer.strategy=ddp"]
    done = typed(tmp_path, "-m", "seed=0", *RUN, *shared, *ON_SLURM, "hydra.sweep.dir=sweep", **cluster.environment)
    assert done.code == 0, done.output + _logs(tmp_path / "sweep")
    (record,) = records(tmp_path / "sweep").values()
    assert (record.status, record.attempts, record.device["count"]) == ("done", 1, 2)
    with np.load(next((tmp_path / "sweep").glob("*/predictions.npz"))) as found:
        assert len(found["label"]) == 24  # every test picture once


def test_a_resume_waits_for_what_is_there_and_submits_what_is_missing(cluster, tmp_path):
    sweep = tmp_path / "sweep"
    words = ["-m", "seeds=3", *RUN, *ON_SLURM, "n_jobs=1", "hydra.sweep.dir=sweep"]
    process = begin(tmp_path, *words, **cluster.environment)
    until(lambda: (sweep / "seed=0" / "run.json").is_file())
    os.kill(process.pid, signal.SIGKILL)
    assert finish(process) == -signal.SIGKILL
    job = submissions(sweep)[0]["job"]
    cluster.ask("scancel", f"{job}_2")
    done = typed(tmp_path, "resume", "sweep", **cluster.environment)
    assert done.code == 0, done.output
    assert [each["runs"] for each in submissions(sweep)] == [["seed=0", "seed=1", "seed=2"], ["seed=2"]]
    assert {(record.status, record.attempts) for record in records(sweep).values()} == {("done", 1)}
    assert (sweep / "report.html").is_file()


def test_ctrl_c_leaves_the_jobs_and_a_resume_picks_up_what_they_did(cluster, tmp_path):
    sweep = tmp_path / "sweep"
    words = ["-m", "seed=0", *RUN, *ON_SLURM, "hydra.sweep.dir=sweep"]
    process = begin(tmp_path, *words, **cluster.environment)
    until(lambda: (sweep / "seed=0" / "run.json").is_file())
    os.kill(process.pid, signal.SIGINT)
    assert finish(process) == 130
    said = (tmp_path / LOG).read_text()
    job = submissions(sweep)[0]["job"]
    assert "the jobs on the cluster go on" in said
    assert f"scancel {job}" in said
    assert "ablate resume sweep" in said
    until(lambda: cluster.states()[job] == "COMPLETED")
    assert {run.status for run in Manifest.read(sweep).runs.values()} == {"running"}  # nobody has looked since
    done = typed(tmp_path, "resume", "sweep", **cluster.environment)
    assert done.code == 0, done.output
    assert len(submissions(sweep)) == 1
    assert {run.status for run in Manifest.read(sweep).runs.values()} == {"done"}
    assert (sweep / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.launcher.partition=big"], ["hydra.launcher.partition=big", "one of main, short"]),
        (["seeds=22"], ["22 runs in one job array", "21 at most (MaxArraySize)"]),
        (["hydra.launcher.partition=short"], ["timeout_min=20: partition short ends jobs after 2"]),
        (["hydra.launcher.gpus_per_node=1"], ["gpus_per_node=1", "generic resource"]),
        (["hydra.launcher.cpus_per_task=999"], ["Requested node configuration is not available"]),
        (["trainer.num_nodes=2"], ["nodes=2", "Requested node configuration is not available"]),
        (["retries=1"], ["retries=1", "hydra/launcher=local"]),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else None,
)
def test_what_this_cluster_would_not_take_creates_nothing(cluster, tmp_path, words, said):
    jobs = cluster.states()
    seeds = [] if words[0].startswith("seeds=") else ["seeds=2"]
    done = typed(tmp_path, "-m", *seeds, *RUN, *ON_SLURM, *words, **cluster.environment)
    assert done.code == 2
    for each in (*said, "allowed:", "type:"):
        assert each in done.output
    assert [path.name for path in tmp_path.iterdir()] == [LOG]
    assert cluster.states() == jobs


def test_a_cluster_that_does_not_answer_creates_nothing(cluster, tmp_path):
    conf = (cluster.folder / "slurm.conf").read_text()
    lines = [line for line in conf.splitlines() if not line.startswith(("SlurmctldPort", "MessageTimeout"))]
    (tmp_path / "slurm.conf").write_text("\n".join([*lines, "SlurmctldPort=1", "MessageTimeout=2"]))
    place = tmp_path / "here"
    place.mkdir()
    environment = {**cluster.environment, "SLURM_CONF": str(tmp_path / "slurm.conf")}
    done = typed(place, "-m", "seeds=2", *RUN, *ON_SLURM, **environment)
    assert done.code == 2
    assert "the cluster does not answer" in done.output
    assert [path.name for path in place.iterdir()] == [LOG]


def assert_same_networks(one, other):
    """To the last bit: the chosen weights, the last ones, and the answers of the chosen ones."""
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(each / "checkpoints" / name, weights_only=True)["state_dict"] for each in (one, other))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    with np.load(one / "predictions.npz") as a, np.load(other / "predictions.npz") as b:
        assert all(np.array_equal(a[key], b[key]) for key in a)


def _when_over(cluster, job):
    until(lambda: "RUNNING" not in cluster.states().values())
    return cluster.states()


def _logs(sweep):
    return "".join(path.read_text() for path in [*sweep.glob(".submitit/*.out"), *sweep.glob("*/train.log")])
