"""Ghost batch norm through torch.compile."""

import pytest
import torch
from ghosts import pictures

from ablate.model.ghost_batch_norm import GhostBatchNorm2d


@pytest.mark.parametrize(("affine", "track"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize(("n", "dtype"), [(12, torch.float32), (14, torch.float64), (9, torch.float32)])
def test_what_torch_compiles_is_the_same_function(n, dtype, affine, track):
    torch.compiler.reset()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = {"ghost_size": 4, "affine": affine, "track_running_stats": track}
    native, traced = (GhostBatchNorm2d(3, **options).to(device, dtype) for _ in range(2))
    for layer in (native, traced) if affine else ():
        layer.weight.data, layer.bias.data = torch.tensor([[-1, 0.5, 2], [0.5, 0, -1]]).to(device, dtype)
    x = pictures(n, torch.channels_last).to(device, dtype).requires_grad_()
    results = []
    for layer, function in ((native, native), (traced, torch.compile(traced, fullgraph=True, backend="aot_eager"))):
        out = function(x)
        grads = torch.autograd.grad(out.square().mul(0.1).exp().sum(), [x, *layer.parameters()])
        assert out.is_contiguous(memory_format=torch.channels_last)
        results.append((out, grads, layer.state_dict()))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_what_torch_compiles_is_as_short_for_many_ghosts_as_for_two():
    torch.compiler.reset()
    lengths = []

    def backend(module, _inputs):
        lengths.append(len(module.graph.nodes))
        return module.forward

    for n in (8, 64):
        torch.compile(GhostBatchNorm2d(3, ghost_size=4), backend=backend, dynamic=False)(
            pictures(n, torch.channels_last)
        )
    assert lengths[0] == lengths[1]


def test_a_cumulative_average_is_compiled_once():
    torch.compiler.reset()
    native, traced = (GhostBatchNorm2d(3, ghost_size=4, momentum=None) for _ in range(2))
    function = torch.compile(traced, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for n in (12, 12, 12):
            torch.testing.assert_close(
                function(pictures(n, torch.channels_last)), native(pictures(n, torch.channels_last))
            )
    torch.testing.assert_close(traced.state_dict(), native.state_dict())


def test_bfloat16_activations_are_compiled_with_float32_statistics():
    torch.compiler.reset()
    native, traced = GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4)
    x = pictures(12, torch.channels_last).bfloat16()
    out = torch.compile(traced, fullgraph=True, backend="aot_eager")(x)
    assert out.dtype is torch.bfloat16
    torch.testing.assert_close(out, native(x))
    torch.testing.assert_close(traced.state_dict(), native.state_dict())
