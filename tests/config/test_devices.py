"""Devices that are there, and those that are not."""

import sys
from pathlib import Path

import pytest
import torch

from ablate.config.compose import Composer, checked
from ablate.config.devices import device_problems

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def problems(monkeypatch):
    """problems(number of GPUs, words ...) -> (given, fix) of each."""

    def find(num_gpus, *words):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        trainer = checked(Composer(CONF).compose(words)).trainer
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
        return [(problem.given, problem.fix) for problem in device_problems(trainer)]

    return find


@pytest.mark.parametrize(
    ("num_gpus", "words", "given", "fix"),
    [
        (1, ["trainer=ddp"], "trainer.devices=2: this machine has 1 GPU", "trainer.devices=1"),
        (2, ["trainer=ddp", "trainer.devices=4"], "trainer.devices=4: this machine has 2 GPU", "trainer.devices=2"),
        (2, ["trainer=gpu", "trainer.devices=[0,5]"], "trainer.devices=[0,5]: this", "trainer.devices=[0]"),
        (8, ["trainer=gpu", "trainer.devices=[1,1]"], "trainer.devices=[1,1]", "trainer.devices=[1]"),
        (1, ["trainer.devices=2"], "trainer.devices=2: this machine has 1 GPU", "trainer.devices=1"),
        (0, ["trainer=ddp"], "trainer.accelerator=gpu: this machine has no GPU", "trainer=cpu"),
        (0, ["trainer.devices=[0]"], "trainer.devices=[0] on a CPU", "trainer.devices=1"),
        (2, ["trainer=ddp", "trainer.compile=true"], "trainer.compile=true on 2 devices", "trainer.compile=false"),
        (4, ["trainer.devices=auto", "trainer.compile=true"], "trainer.compile=true on 4", "trainer.compile=false"),
    ],
    ids=str,
)
def test_what_is_not_there_is_named(problems, num_gpus, words, given, fix):
    ((said, typed),) = problems(num_gpus, *words, "data.batch_size=128")
    assert said.startswith(given)
    assert typed == fix


@pytest.mark.parametrize(
    ("num_gpus", "words"),
    [
        (2, ["trainer=ddp"]),
        (0, ["trainer.devices=2"]),
        (8, ["trainer=gpu", "trainer.devices=[0,5]"]),
        (0, ["seed=1"]),
        (0, ["seed=2"]),
    ],
    ids=str,
)
def test_what_is_there_is_right(problems, num_gpus, words):
    assert problems(num_gpus, *words) == []


@pytest.mark.parametrize(
    ("num_gpus", "programs", "package", "headers", "lacking"),
    [
        (0, [], True, "here", "no C++ compiler (icpx; CXX names another)"),
        (1, ["icpx"], True, "here", "no C compiler (gcc or clang; CC names another)"),
        (1, ["gcc"], False, "here", "no package triton"),
        (0, ["icpx"], False, "gone", "no Python.h in"),
        (1, ["clang"], True, "gone", "no Python.h in"),
        (0, ["icpx"], False, "here", None),
        (1, ["clang"], True, "here", None),
    ],
    ids=str,
)
def test_nothing_is_compiled_without_a_compiler(
    problems, monkeypatch, tmp_path, num_gpus, programs, package, headers, lacking
):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "Python.h").touch()
    monkeypatch.setenv("CXX", "icpx -w")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("shutil.which", lambda program: program if program in programs else None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / headers))
    monkeypatch.setattr("ablate.config.devices.find_spec", lambda _: package or None)
    found = problems(num_gpus, "trainer.compile=true")
    if lacking is None:
        assert found == []
    else:
        ((given, fix),) = found
        assert given.startswith(f"trainer.compile=true, and this machine has {lacking}")
        assert fix == "trainer.compile=false"
