"""What is asked of a cluster, found wrong before anything is created. No SLURM is needed here."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from fake_slurm import FakeSlurm

from ablate.cluster import submit
from ablate.cluster.settings import KINDS, key_problems, with_shape
from ablate.cluster.slurm import Partition, minutes_of, partitions
from ablate.cluster.submit import checked_settings
from ablate.config.wording import show
from ablate.errors import UserError

CONF = Path(__file__).parents[2] / "conf" / "hydra" / "launcher" / "submitit_slurm.yaml"


def launcher(**changed):
    own = {"name": "ablate", "submitit_folder": "sweep/.submitit", "hydra/launcher": "submitit_slurm"}
    return {**yaml.safe_load(CONF.read_text()), **own, **changed}


def trainer(accelerator="cpu", devices=1, num_nodes=1):
    return SimpleNamespace(accelerator=accelerator, devices=devices, num_nodes=num_nodes)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return FakeSlurm(tmp_path / "bin", monkeypatch)


def refused(num_runs=2, **changed):
    with pytest.raises(UserError) as caught:
        checked_settings(launcher(**changed), [trainer()], num_runs)
    return str(caught.value)


def test_every_key_of_the_file_is_checked():
    assert set(KINDS) == set(yaml.safe_load(CONF.read_text())) - {"_target_"}
    assert list(key_problems(launcher())) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout_min", 0),
        ("timeout_min", "4h"),
        ("max_num_timeout", -1),
        ("nodes", 0),
        ("gpus_per_node", "many"),
        ("cpus_per_task", True),
        ("mem_gb", -1),
        ("partition", ["gpu"]),
        ("name", "bash"),
        ("stderr_to_stdout", 1),
        ("setup", "module load cuda"),
        ("additional_parameters", {"a": {"b": 1}}),
    ],
)
def test_a_value_that_makes_no_sense(key, value):
    (problem,) = key_problems(launcher(**{key: value}))
    assert problem.given == f"hydra.launcher.{key}={show(value)}"
    assert problem.fix.startswith(f"hydra.launcher.{key}=")


def test_a_key_that_is_none():
    (problem,) = key_problems(launcher(partitions="gpu"))
    assert problem.given == "hydra.launcher.partitions=gpu"
    assert problem.fix == "hydra.launcher.partition=gpu"


def test_a_signal_before_the_start():
    (problem,) = key_problems(launcher(timeout_min=2))
    assert "signal_delay_s=120 with timeout_min=2" in problem.given


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("2:00", 2), ("1:00:00", 60), ("7-00:00:00", 7 * 24 * 60), ("1-12:30:00", 2190), ("infinite", None)],
)
def test_limits_of_time(limit, minutes):
    assert minutes_of(limit) == minutes


def test_partitions(slurm):
    found = partitions()
    assert found["main"] == Partition("main", is_default=True, minutes=60, has_gpus=False)
    assert found["gpu"] == Partition("gpu", is_default=False, minutes=2880, has_gpus=True)


def test_a_partition_that_is_not_there(slurm):
    said = refused(partition="big", timeout_min=10)
    assert "hydra.launcher.partition=big: this cluster has none of that name" in said
    assert "allowed: one of main, gpu, short" in said


def test_no_default_partition(slurm):
    slurm.says("sinfo", "gpu|gpu|infinite|gpu:4\n")
    assert "no default partition" in refused()


def test_more_time_than_the_partition_gives(slurm):
    said = refused(partition="short", timeout_min=5, signal_delay_s=30)
    assert "partition short ends jobs after 2" in said
    assert "type:    hydra.launcher.timeout_min=2" in said


def test_an_array_larger_than_the_cluster_takes(slurm):
    assert "12 runs in one job array" in (said := refused(12, timeout_min=10))
    assert "arrays of 11 at most (MaxArraySize)" in said


def test_no_slurm_here(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused()
    assert "no SLURM here (sbatch, srun, squeue, sinfo, scontrol not found)" in said
    assert "type:    hydra/launcher=local" in said


def test_a_cluster_that_does_not_answer(slurm):
    slurm.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    assert "the cluster does not answer (slurm_load_jobs error: Unable to contact" in refused()


def test_what_sbatch_would_not_take_is_said_in_its_words(slurm):
    slurm.fails("sbatch", "allocation failure: Requested node configuration is not available")
    said = refused(timeout_min=10, cpus_per_task=64)
    assert "cpus_per_task=64" in said
    assert "(allocation failure: Requested node configuration is not available)" in said


def test_the_extra_is_not_installed(slurm, monkeypatch):
    monkeypatch.setattr("ablate.cluster.settings.find_spec", lambda name: None)
    said = refused()
    assert "hydra/launcher=submitit_slurm: hydra-submitit-launcher is not installed" in said
    assert "type:    pip install -e '.[slurm]'" in said


@pytest.mark.parametrize(
    ("section", "nodes", "tasks", "gpus"),
    [
        (trainer("cpu"), 1, 1, None),
        (trainer("cpu", 2), 1, 2, None),
        (trainer("auto"), 1, 1, 1),  # the partition has GPUs
        (trainer("gpu", 4), 1, 4, 4),
        (trainer("gpu", [0, 1], 3), 3, 2, 2),
        (trainer("cpu", "auto"), 1, 1, None),
    ],
)
def test_auto_follows_the_trainer(section, nodes, tasks, gpus):
    settings, problems = with_shape(launcher(), [section], Partition("gpu", True, None, True))
    assert problems == []
    assert (settings["nodes"], settings["tasks_per_node"], settings["gpus_per_node"]) == (nodes, tasks, gpus)


def test_without_gpus_in_the_partition_none_are_asked_for():
    settings, problems = with_shape(launcher(), [trainer("auto")], Partition("main", True, None, False))
    assert (settings["gpus_per_node"], problems) == (None, [])


@pytest.mark.parametrize(
    ("changed", "section", "said"),
    [
        ({"tasks_per_node": 2}, trainer(), "hydra.launcher.tasks_per_node=2 with trainer.devices=1"),
        ({"nodes": 2}, trainer(), "hydra.launcher.nodes=2 with trainer.num_nodes=1"),
        ({"gpus_per_node": 1}, trainer("gpu", 2), "hydra.launcher.gpus_per_node=1 with trainer.devices=2"),
        ({"gpus_per_node": None}, trainer("gpu"), "hydra.launcher.gpus_per_node=null with trainer.devices=1"),
    ],
)
def test_numbers_that_contradict_the_trainer(changed, section, said):
    _, (problem,) = with_shape(launcher(**changed), [section], None)
    assert problem.given.startswith(said)


def test_runs_of_different_shapes_are_no_array():
    _, (problem,) = with_shape(launcher(), [trainer(), trainer(devices=2)], None)
    assert "1 x 1 CPU processes and on 1 x 2 CPU processes" in problem.given


def test_what_submitit_would_submit(slurm, monkeypatch):
    scripts = []
    monkeypatch.setattr(submit.slurm, "ask", lambda *words, text="": scripts.append(text) or "")
    submit._try_out({**launcher(nodes=1, tasks_per_node=2, gpus_per_node=2, partition="gpu", mem_gb=8)}, 5)
    lines = scripts[0].splitlines()
    for line in (
        "#SBATCH --array=0-4%5",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=240",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --mem=8GB",
        "#SBATCH --requeue",
    ):
        assert line in lines
    assert "--kill-on-bad-exit=1 --cpus-per-task=4" in scripts[0]
