"""A training that goes through torch.compile, with the real compiler, and a network that it takes little time for."""

from collections import OrderedDict

import pytest
import torch
from killing import assert_same_run, attempt, killed
from torch import nn

from ablate import checkpoint
from ablate.model.ghost_batch_norm import GhostBatchNorm2d

TINY = [
    *("allow_targets=[test_torch_compile]", "model._target_=test_torch_compile.Tiny", "~model.depth", "~model.width"),
    *("data.batch_size=18", "callbacks.gradcam.layers=[norm]"),  # 72 pictures: one size of batch to compile
]


class Tiny(nn.Sequential):
    def __init__(self, num_classes: int, ghost_size: int):
        parts = {"conv": nn.Conv2d(3, 4, 3, bias=False), "norm": GhostBatchNorm2d(4, ghost_size), "act": nn.ReLU()}
        end = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "linear": nn.Linear(4, num_classes)}
        super().__init__(OrderedDict(parts | end))


def test_killed_it_goes_on_to_the_same_bytes_and_computes_what_it_would_without(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    killed(tmp_path / "run", *TINY, "trainer.compile=true", at=("train_batch", 1, 2))
    record = attempt(tmp_path / "run", *TINY, "trainer.compile=true")
    assert (record.status, record.attempts) == ("done", 2), record.error
    assert record.resumed[0]["from_checkpoint"] == checkpoint.LAST
    undisturbed = attempt(tmp_path / "undisturbed", *TINY, "trainer.compile=true")
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")
    eager = attempt(tmp_path / "eager", *TINY)
    assert undisturbed.metrics == pytest.approx(eager.metrics, rel=1e-4)
    weights = [
        checkpoint.load(tmp_path / name / checkpoint.FOLDER / checkpoint.LAST)["state_dict"]
        for name in ("run", "eager")
    ]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)
    assert any((tmp_path / "inductor").rglob("*.so"))
    assert "CUDA" not in capfd.readouterr().err
