"""The Triton kernels, compiled to machine code of GPUs that need not be there; none of it is run."""

import contextlib
import re
import sys
from collections.abc import Iterator
from subprocess import CalledProcessError
from typing import Any

import pytest
import torch

from ablate.model import ghost_batch_norm
from ablate.model.ghost_batch_norm import GhostBatchNorm2d, kernels_for

pytest.importorskip("triton")
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

from ablate.model import ghosts_on_gpu

FIVE = ["partial_sums", "normalise", "track", "partial_sums", "gradients"]


class CompileOnly:
    """A driver of a GPU that is not there."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return -self.capability  # what is compiled is kept by device

    def get_current_stream(self, _device: int) -> int:
        return 0


@pytest.fixture
def compiled(request, monkeypatch, tmp_path) -> list[tuple[str, Any]]:
    """The kernels that a layer on a CPU would call on a GPU: (name, all that was made of it). Parameter: capability."""
    found = []
    run = JITFunction.run

    def compile_only(kernel: JITFunction, *args: Any, **options: Any) -> None:
        found.append((kernel.fn.__name__, run(kernel, *args, **{**options, "warmup": True})))

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(JITFunction, "run", compile_only)
    monkeypatch.setattr(ghost_batch_norm, "kernels_for", lambda _: ghosts_on_gpu)
    monkeypatch.setattr(driver, "_active", CompileOnly(request.param))
    return found


def step(shape: tuple[int, ...], dtype: torch.dtype, **options: Any) -> None:
    layer = GhostBatchNorm2d(shape[1], **options)
    x = torch.zeros(shape, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    layer(x).sum().backward()


@pytest.mark.parametrize("compiled", [75, 80, 90, 120], ids=["T4", "A100", "H200", "RTX 5090"], indirect=True)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_kernels_move_sixteen_bytes_at_a_time(compiled, dtype):
    step((64, 64, 16, 16), dtype, ghost_size=32)
    assert [name for name, _ in compiled] == FIVE
    for name, kernel in compiled:
        assert kernel.asm["cubin"], name
        if name != "track":  # which reads few numbers
            loads = re.findall(r"ld\.global\S*", kernel.asm["ptx"])
            assert "ld.global.v4.b32" in loads, name
            assert "ld.global.b16" not in loads, name


@pytest.mark.parametrize("compiled", [90], indirect=True)
@pytest.mark.parametrize(
    ("shape", "options", "names"),
    [
        ((9, 1, 1, 1), {}, FIVE),  # Triton makes constants of ones
        ((5, 3, 3, 2), {"affine": False}, FIVE),
        ((4, 70, 2, 2), {"track_running_stats": False}, [name for name in FIVE if name != "track"]),
    ],
    ids=["ones", "no weight", "no running statistics"],
)
def test_kernels_of_odd_layers_are_compiled(compiled, shape, options, names):
    step(shape, torch.float16, ghost_size=2, **options)
    assert [name for name, _ in compiled] == names
    assert all(kernel.asm["cubin"] for _, kernel in compiled)


@pytest.fixture
def asked_anew(monkeypatch, tmp_path) -> Iterator[None]:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    for each in (ghosts_on_gpu.is_usable, kernels_for):
        each.cache_clear()
    yield
    for each in (ghosts_on_gpu.is_usable, kernels_for):
        each.cache_clear()


def test_kernels_serve_where_triton_compiles(asked_anew, monkeypatch, caplog):
    monkeypatch.setattr(driver, "_active", CompileOnly(90))
    assert kernels_for(torch.device("cuda", 0)) is ghosts_on_gpu
    assert not caplog.records


@pytest.mark.parametrize(
    "error",
    [RuntimeError("Failed to find C compiler"), CalledProcessError(1, ["gcc", "driver.c"])],  # the latter: no Python.h
    ids=["no compiler", "no headers"],
)
def test_torchs_operations_serve_where_triton_fails_and_the_log_says_why(error, asked_anew, monkeypatch, caplog):
    class Failing(CompileOnly):
        def get_current_target(self) -> GPUTarget:
            raise error

    monkeypatch.setattr(driver, "_active", Failing(1))
    assert kernels_for(torch.device("cuda", 0)) is None
    assert str(error) in caplog.text
    assert "Python's headers" in caplog.text


def test_torchs_operations_serve_where_triton_cannot_be_imported(asked_anew, monkeypatch, caplog):
    monkeypatch.delattr("ablate.model.ghosts_on_gpu")
    monkeypatch.setitem(sys.modules, "ablate.model.ghosts_on_gpu", None)
    assert kernels_for(torch.device("cuda", 0)) is None
    assert "Triton cannot be imported" in caplog.text
