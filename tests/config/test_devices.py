"""Devices that are there, and those that are not."""

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
        (1, ["trainer.compile=true"]),
    ],
    ids=str,
)
def test_what_is_there_is_right(problems, num_gpus, words):
    assert problems(num_gpus, *words) == []


@pytest.mark.parametrize(
    ("num_gpus", "lacking"), [(0, r"C++ compiler (icpx)"), (1, "C compiler (CC, gcc or clang) with Triton")]
)
def test_nothing_is_compiled_without_a_compiler(problems, monkeypatch, num_gpus, lacking):
    monkeypatch.setenv("CXX", "icpx -w")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    (problem,) = problems(num_gpus, "trainer.compile=true")
    assert problem == (f"trainer.compile=true, and this machine has no {lacking}", "trainer.compile=false")
