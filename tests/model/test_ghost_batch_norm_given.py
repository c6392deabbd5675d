"""What ghost batch norm may be given, and what it refuses: odd tensors, states, transforms and tracers."""

import re

import pytest
import torch
from ghosts import pictures
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from ablate.model.ghost_batch_norm import GhostBatchNorm2d


@pytest.mark.parametrize("select", [lambda x: x[:, :, ::2], lambda x: x.transpose(2, 3), lambda x: x[::2]])
def test_pictures_that_are_a_view_of_others_are_read_as_they_are_seen(select, way):
    base = torch.randn(24, 3, 6, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    view = select(base)
    mine, same = GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4)
    out, expected = mine(view), same(view.contiguous())
    torch.testing.assert_close(out, expected)
    (grad,) = torch.autograd.grad(out.exp().sum(), base)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.exp().sum(), base)[0])


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")  # in torch's own derivatives
def test_transforms_and_tracers_see_the_layer_as_they_see_torchs_own(way):
    norm, x = GhostBatchNorm2d(3, ghost_size=4, track_running_stats=False), pictures(12, torch.channels_last)
    parameters, other, out = dict(norm.named_parameters()), pictures(12, torch.contiguous_format) * 2, norm(x)

    def loss(given):
        return torch.func.functional_call(norm, given, (x,)).exp().sum()

    expected = torch.autograd.grad(loss(parameters), list(parameters.values()))
    torch.testing.assert_close(tuple(torch.func.grad(loss)(parameters).values()), expected)
    with forward_ad.dual_level():  # normalising does not see a shift of all pixels
        moved = forward_ad.unpack_dual(norm(forward_ad.make_dual(x, torch.ones_like(x))))
    torch.testing.assert_close(moved.primal, out)
    torch.testing.assert_close(moved.tangent, torch.zeros_like(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(make_fx(norm)(x)(other), norm(other))
    exported = torch.export.export(nn.Sequential(norm).train(), (x,)).module()
    torch.testing.assert_close(exported(other), norm(other))


def test_tensors_without_numbers_have_their_shapes(way):
    with FakeTensorMode():
        assert GhostBatchNorm2d(3, ghost_size=4)(torch.randn(12, 3, 5, 5)).shape == (12, 3, 5, 5)
    assert GhostBatchNorm2d(3, ghost_size=4).to("meta")(torch.empty(12, 3, 5, 5, device="meta")).is_meta


def test_the_default_device_and_precision_of_others_change_nothing(way):
    x = pictures(12, torch.channels_last).requires_grad_()
    norm, same = GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4)
    expected = norm(x)
    expected_grad = torch.autograd.grad(expected.exp().sum(), x)
    with torch.device("meta"):
        torch.set_default_dtype(torch.bfloat16)
        try:
            out = same(x)
            grad = torch.autograd.grad(out.exp().sum(), x)
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(out, expected)
    assert torch.equal(grad[0], expected_grad[0])
    torch.testing.assert_close(same.state_dict(), norm.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda norm: norm.register_buffer("running_mean", torch.zeros(3, 2)[:, 0]),
        lambda norm: setattr(norm, "weight", nn.Parameter(torch.ones(3, 2)[:, 0])),
        lambda norm: setattr(norm, "weight", nn.Parameter(torch._neg_view(-torch.ones(3)))),
    ],
    ids=["strided buffer", "strided weight", "lazily negated weight"],
)
def test_state_that_no_kernel_reads_is_read_by_torch(change, way):
    norm, same = GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4)
    change(norm)
    x = pictures(12, torch.channels_last)
    torch.testing.assert_close(norm(x), same(x))
    torch.testing.assert_close(norm.state_dict(), same.state_dict())


def test_pictures_that_are_negated_lazily_are_read_as_they_are_seen(way):
    x = pictures(12, torch.channels_last)
    norm, same = GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4)
    torch.testing.assert_close(norm(torch._neg_view(x)), same(-x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8])
@pytest.mark.parametrize("n", [7, 12])
def test_what_torchs_layer_refuses_is_refused_with_any_number_of_ghosts(dtype, n, way):
    x = pictures(n, torch.channels_last).to(dtype)
    with pytest.raises((RuntimeError, NotImplementedError)) as theirs:
        nn.BatchNorm2d(3)(x)
    with pytest.raises(type(theirs.value), match=re.escape(str(theirs.value))):
        GhostBatchNorm2d(3, ghost_size=4)(x)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("c", [2, 4096])
def test_pictures_of_other_channels_are_refused(c, train, way):
    norm = GhostBatchNorm2d(3, ghost_size=4).train(train)
    with pytest.raises(ValueError, match=f"input of {c} channels, layer of num_features=3"):
        norm(torch.zeros(12, c, 2, 2))


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean"])
def test_a_state_of_another_length_is_refused_as_by_torch(name, way):
    norm = GhostBatchNorm2d(64, ghost_size=4)
    other = torch.ones(2)
    setattr(norm, name, other if name == "running_mean" else nn.Parameter(other))
    with pytest.raises(RuntimeError, match="2"):
        norm(torch.zeros(12, 64, 2, 2))


def test_a_ghost_of_one_is_refused():
    with pytest.raises(ValueError, match="ghost_size=1: a ghost needs at least 2 samples"):
        GhostBatchNorm2d(3, ghost_size=1)
