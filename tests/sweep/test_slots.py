"""How cores and GPUs are divided."""

from types import SimpleNamespace

import pytest

from ablate.sweep import slots
from ablate.sweep.slots import Slot, make_slots, problems_of


def trainer(accelerator="auto", devices=1):
    return SimpleNamespace(accelerator=accelerator, devices=devices)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(slots, "num_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_on_cpus_the_cores_are_divided():
    assert make_slots(4, "auto", [trainer("cpu")], num_runs=10) == [Slot(2)] * 4
    assert make_slots(3, "auto", [trainer("cpu")], num_runs=10) == [Slot(2)] * 3
    assert make_slots(1, "auto", [trainer("cpu")], num_runs=10) == [Slot(8)]
    assert make_slots(20, "auto", [trainer("cpu")], num_runs=40) == [Slot(1)] * 20
    assert make_slots(4, 3, [trainer("cpu")], num_runs=10) == [Slot(3)] * 4


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("3", 3), ("64", 4), ("2,1", 2), ("", 4), ("0", 4), ("x", 4)])
def test_no_more_threads_than_the_user_has_set_for_all_programs(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert make_slots(2, "auto", [trainer("cpu")], num_runs=10) == [Slot(threads)] * 2
    assert make_slots(2, 4, [trainer("cpu")], num_runs=10) == [Slot(4)] * 2  # set for this sweep


def test_no_more_slots_than_runs():
    assert make_slots(8, "auto", [trainer("cpu")], num_runs=2) == [Slot(4)] * 2


def test_automatic_on_cpus_stops_where_memory_ends():
    assert len(make_slots("auto", "auto", [trainer("cpu")], num_runs=99, memory_of_a_run=1)) == 8
    assert len(make_slots("auto", "auto", [trainer("cpu")], num_runs=99, memory_of_a_run=1 << 60)) == 1


def test_each_run_gets_a_gpu_of_its_own_and_automatic_takes_all():
    found = make_slots("auto", "auto", [trainer("gpu")], num_runs=9, gpus=["0", "1", "2", "3"])
    assert [slot.devices for slot in found] == [("0",), ("1",), ("2",), ("3",)]
    assert {slot.threads for slot in found} == {2}


def test_several_runs_share_a_gpu_in_turn():
    found = make_slots(5, "auto", [trainer("auto")], num_runs=9, gpus=["4", "7"])
    assert [slot.devices for slot in found] == [("4",), ("7",), ("4",), ("7",), ("4",)]


def test_a_run_on_two_gpus_takes_two():
    found = make_slots("auto", "auto", [trainer("gpu", 2)], num_runs=9, gpus=["0", "1", "2", "3", "4"])
    assert [slot.devices for slot in found] == [("0", "1"), ("2", "3")]


def test_gpus_chosen_by_number_are_left_to_the_trainer():
    assert make_slots(1, "auto", [trainer("gpu", [2])], num_runs=9, gpus=["0", "1", "2"]) == [Slot(8)]


def test_without_a_gpu_the_automatic_accelerator_is_the_cpu():
    assert make_slots(1, "auto", [trainer("auto")], num_runs=9, gpus=[]) == [Slot(8)]


GOOD = {"n_jobs": 1, "threads": "auto", "retries": 0, "on_failure": "continue"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_jobs", 0),
        ("n_jobs", "many"),
        ("n_jobs", True),
        ("n_jobs", 1.5),
        ("threads", 0),
        ("retries", -1),
        ("on_failure", "no"),
    ],
)
def test_keys_of_the_launcher_that_make_no_sense(key, value):
    (problem,) = problems_of({**GOOD, key: value})
    assert f"{key}={value}" in problem.given
    assert list(problems_of(GOOD)) == []


def test_a_run_of_several_processes_divides_its_cores_among_them():
    assert make_slots(1, "auto", [trainer("cpu", 2)], num_runs=9) == [Slot(4)]
    assert make_slots("auto", "auto", [trainer("cpu", 4)], num_runs=9, memory_of_a_run=1) == [Slot(1)] * 2
    assert make_slots(1, "auto", [trainer("gpu", 2)], num_runs=9, gpus=["0", "1"]) == [Slot(4, ("0", "1"))]
