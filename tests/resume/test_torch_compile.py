"""A training that goes through torch.compile, with the real compiler, and networks that it takes little time for."""

import os
import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch._dynamo.config as dynamo
import torch._inductor.config as inductor
from killing import assert_same_run, attempt, forked, killed
from torch import Tensor, nn

from ablate import checkpoint
from ablate.model.ghost_batch_norm import GhostBatchNorm2d
from ablate.record import RunRecord

pytestmark = pytest.mark.skipif(not shutil.which(os.environ.get("CXX") or "g++"), reason="needs a C++ compiler")
WORDS = [
    *("allow_targets=[test_torch_compile]", "model._target_=test_torch_compile.Tiny", "~model.depth", "~model.width"),
    *("data.batch_size=18", "callbacks.gradcam.layers=[norm]"),  # 72 pictures: one size of batch to compile
]
COMPILED = [*WORDS, "trainer.compile=true"]


class Tiny(nn.Sequential):
    def __init__(self, num_classes: int, ghost_size: int, drop: float = 0.2):
        conv, norm = nn.Conv2d(3, 4, 3, bias=False), GhostBatchNorm2d(4, ghost_size, momentum=None)
        end = {"drop": nn.Dropout(drop), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
        super().__init__(OrderedDict(conv=conv, norm=norm, act=nn.ReLU(), **end, linear=nn.Linear(4, num_classes)))


class Counting(Tiny):
    """Reads a Python number that every step changes: it would have to be compiled anew each time."""

    num_steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.num_steps += 1
        return super().forward(x) * (1 + 1 / self.num_steps)


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """anew(folder, words, ...): one attempt in a process, and with a compiler's cache, of its own."""

    def start(name: str, *words: str, **more: object) -> RunRecord:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "caches" / name))
        forked(lambda: attempt(tmp_path / name, *words, **more))
        return RunRecord.read(tmp_path / name)

    return start


def last(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load(folder / checkpoint.FOLDER / checkpoint.LAST)["state_dict"]


def test_killed_it_goes_on_to_the_same_bytes(tmp_path, anew, monkeypatch, capfd):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "caches" / "run"))
    killed(tmp_path / "run", *COMPILED, at=("train_batch", 1, 2))
    record = anew("run", *COMPILED)
    assert (record.status, record.attempts) == ("done", 2), record.error
    assert record.resumed[0]["from_checkpoint"] == checkpoint.LAST
    assert anew("undisturbed", *COMPILED).status == "done"
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")
    for name in ("run", "undisturbed"):
        assert any((tmp_path / "caches" / name).rglob("*.so")), "it was compiled"
    assert "CUDA" not in capfd.readouterr().err


def test_it_computes_what_it_would_without(tmp_path, anew):
    compiled, eager = (anew(name, *words, "+model.drop=0") for name, words in (("a", COMPILED), ("b", WORDS)))
    assert compiled.metrics == pytest.approx(eager.metrics, rel=1e-4)
    torch.testing.assert_close(last(tmp_path / "a"), last(tmp_path / "b"), rtol=1e-4, atol=1e-5)


def test_a_network_that_would_be_compiled_anew_in_every_step_ends_the_run(anew):
    with dynamo.patch(recompile_limit=2):  # 8 take half a minute
        record = anew("run", *COMPILED, "model._target_=test_torch_compile.Counting")
    assert record.status == "failed"
    assert "compiled anew in step after step" in record.error
    assert "trainer.compile=false" in record.error


def test_a_signal_that_ends_the_compiler_interrupts_the_run(tmp_path, monkeypatch):
    # As Ctrl-C does: it reaches the compiler, a process of the same group, and the training hears of that first.
    compiler = tmp_path / "c++"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))

    def start() -> None:
        compiler.write_text(f"#!/bin/sh\ncase $* in *--version*) exec g++ $*;; esac\nkill -INT {os.getpid()}; exit 1\n")
        compiler.chmod(0o755)
        attempt(tmp_path / "run", *COMPILED)

    with inductor.patch({"cpp.cxx": (None, str(compiler))}):
        forked(start)
    record = RunRecord.read(tmp_path / "run")
    assert (record.status, record.error) == ("interrupted", "stopped by SIGINT")
