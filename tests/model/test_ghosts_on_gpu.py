"""The Triton kernels against the plain operations: in Triton's interpreter on a CPU, compiled where there is a GPU."""

import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import Tensor

from ablate.model import ghost_batch_norm
from ablate.model.ghost_batch_norm import GhostBatchNorm2d

pytest.importorskip("triton")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
needs_gpu = pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="needs a GPU")
needs_kernels = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(), reason="needs a GPU, or TRITON_INTERPRET=1"
)


@pytest.mark.skipif(INTERPRETED, reason="is being done")
def test_in_tritons_interpreter():
    # In a process of its own: Triton chooses the interpreter when it is imported, and torch may have done that.
    command = [sys.executable, "-m", "pytest", "-q", "-k", "kernels", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "12 passed" in done.stdout


@pytest.fixture
def kernels():
    from ablate.model import ghosts_on_gpu

    return ghosts_on_gpu


def pictures(n: int, c: int, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(n, c, size, size, generator=torch.Generator().manual_seed(n)) * 3 + 2
    return x.to(DEVICE, dtype, memory_format=torch.channels_last).requires_grad_()


def layers(c: int, affine: bool = True) -> tuple[GhostBatchNorm2d, GhostBatchNorm2d]:
    """Two equal layers, with weights of their own for each channel."""
    pair = [GhostBatchNorm2d(c, ghost_size=4, affine=affine).to(DEVICE) for _ in range(2)]
    for layer in pair if affine else []:
        layer.weight.data = torch.linspace(-1, 2, c, device=DEVICE)
        layer.bias.data = torch.linspace(0.5, -0.5, c, device=DEVICE)
    return pair[0], pair[1]


@needs_kernels
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("n", "c", "size"), [(12, 3, 5), (14, 3, 5), (9, 70, 3), (8, 4, 16)])
def test_the_kernels_are_the_plain_operations(n, c, size, affine, kernels, monkeypatch):
    mine, plain = layers(c, affine)
    x = pictures(n, c, size)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    results = []
    for layer, triton_kernels in ((mine, lambda _: kernels), (plain, lambda _: None)):
        monkeypatch.setattr(ghost_batch_norm, "kernels_for", triton_kernels)
        out = layer(x)
        results.append((out, torch.autograd.grad((out * weights).sum(), [x, *layer.parameters()])))
    close = partial(torch.testing.assert_close, rtol=2e-5, atol=2e-5)
    close(results[0][0], results[1][0])
    close(results[0][1], results[1][1], rtol=1e-4)
    close(mine.state_dict(), plain.state_dict())
    assert results[0][0].is_contiguous(memory_format=torch.channels_last)


@needs_kernels
@pytest.mark.parametrize("lacks", ["weight", "bias", None])
def test_the_kernels_gradient_has_a_gradient_also_without_a_weight_or_a_bias(lacks, kernels, monkeypatch):
    pair = layers(3)
    x, results = pictures(9, 3, 3), []
    for layer, triton_kernels in zip(pair, (lambda _: kernels, lambda _: None), strict=True):
        monkeypatch.setattr(ghost_batch_norm, "kernels_for", triton_kernels)
        if lacks:
            setattr(layer, lacks, None)
        inputs = [x, *layer.parameters()]
        grads = torch.autograd.grad(layer(x).exp().sum(), inputs)
        if lacks != "weight":  # then torch's own layer has none
            again = torch.autograd.grad(layer(x).exp().sum(), inputs, create_graph=True)
            grads += torch.autograd.grad(sum(grad.square().sum() for grad in again), inputs)
        results.append(grads)
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-2)


@needs_kernels
def test_kernels_of_bfloat16_pictures_keep_float32_statistics(kernels, monkeypatch):
    mine, plain = layers(3)
    x = pictures(12, 3, 5, torch.bfloat16)
    monkeypatch.setattr(ghost_batch_norm, "kernels_for", lambda _: kernels)
    out = mine(x)
    (grad,) = torch.autograd.grad(out.float().square().sum(), x)
    monkeypatch.setattr(ghost_batch_norm, "kernels_for", lambda _: None)
    exact = plain(x.detach().float())
    assert out.dtype is grad.dtype is torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(mine.running_var, plain.running_var, rtol=1e-5, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize("n", [128, 100])
def test_on_a_gpu_under_autocast_the_layer_is_that_of_the_cpu_and_repeats_itself(n):
    here, there = (GhostBatchNorm2d(64, ghost_size=32).to(device) for device in ("cpu", "cuda"))
    x = torch.randn(n, 64, 8, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cuda", torch.bfloat16):
        out = there(x.cuda().bfloat16())
        assert torch.equal(there(x.cuda().bfloat16()), out)
    torch.testing.assert_close(out.float().cpu(), here(x), rtol=2e-2, atol=2e-2)
