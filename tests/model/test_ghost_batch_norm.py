"""Ghost batch norm against numbers worked by hand, torch's own layer, and a loop of torch's own layers."""

from functools import partial

import pytest
import torch
from ghosts import LAYOUTS, ghosts_of, pictures
from torch import nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d


def test_two_ghosts_of_two_by_hand(way):
    # One channel, one pixel. The first two samples (values 1, 3) are one ghost, the others (values 10, 30) the second.
    norm = GhostBatchNorm2d(1, ghost_size=2, eps=1e-12)
    x = torch.tensor([1.0, 3.0, 10.0, 30.0]).view(4, 1, 1, 1)
    assert norm(x).flatten().tolist() == pytest.approx([-1.0, 1.0, -1.0, 1.0])
    # Whole batch: mean 11, unbiased variance (100 + 1 + 64 + 361) / 3 = 175.33; one step of 0.1 from (0, 1).
    assert norm.running_mean.item() == pytest.approx(1.1)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 526 / 3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("n", "sizes"), [(12, {4}), (13, {4, 5}), (14, {4, 5}), (7, {7}), (4, {4}), (3, {3}), (2, {2})]
)
def test_no_ghost_is_smaller_than_asked_unless_the_batch_is(n, sizes, layout, way):
    x = pictures(n, layout)
    out = GhostBatchNorm2d(3, ghost_size=4, eps=1e-12)(x)
    members = ghosts_of(x, max(1, n // 4))
    assert {len(member) for member in members} == sizes
    for member in members:
        torch.testing.assert_close(out[member].mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(out[member].var((0, 2, 3), correction=0), torch.ones(3))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("n", "c", "size"), [(12, 3, 5), (14, 3, 5), (13, 70, 3), (9, 150, 16), (12, 3, 1)])
def test_it_equals_a_loop_of_batch_norms_forward_gradients_and_buffers(n, c, size, affine, layout, way):
    x = pictures(n, layout, c, size).requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    ghost = GhostBatchNorm2d(c, ghost_size=4, affine=affine)
    plain = nn.BatchNorm2d(c, affine=affine, track_running_stats=False).double()  # exact, next to ours
    for layer in (ghost, plain):
        if affine:
            layer.weight.data.copy_(torch.linspace(-1, 2, c))
            layer.bias.data.copy_(torch.linspace(0.5, -0.5, c))
    parameters = list(ghost.parameters())
    out = ghost(x)
    grads = torch.autograd.grad((out * weights).sum(), [x, *parameters])

    exact = x.detach().double().requires_grad_()
    expected = torch.empty_like(exact)
    for member in ghosts_of(x, n // 4):
        expected[member] = plain(exact[member])
    expected_grads = torch.autograd.grad((expected * weights).sum(), [exact, *plain.parameters()])
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5, check_dtype=False)
    close(out, expected)
    close(grads, expected_grads, atol=2e-4)  # sums over up to 2,304 pixels
    assert out.is_contiguous(memory_format=layout)
    assert way == "plain" or grads[0].is_contiguous(memory_format=layout)

    whole = nn.BatchNorm2d(c, affine=affine).double()  # the buffers are those of the whole batch
    whole(exact)
    close(ghost.running_mean, whole.running_mean)
    close(ghost.running_var, whole.running_var)
    assert ghost.num_batches_tracked == 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(64, 8, 8, 8), (64, 70, 4, 4), (14, 3, 32, 32)])
def test_how_many_threads_there_are_changes_no_bit(shape, layout):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(memory_format=layout).requires_grad_()
    num_threads, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            layer = GhostBatchNorm2d(shape[1], ghost_size=7)
            out = layer(x)
            grads = torch.autograd.grad(out.exp().sum(), [x, *layer.parameters()])
            results.append([out, *grads, layer.running_mean, layer.running_var])
    finally:
        torch.set_num_threads(num_threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("c", [1, 2, 8])
def test_a_mean_far_from_zero_costs_no_more_digits_than_torch_loses(c, layout, way):
    x = (torch.randn(64, c, 8, 8, generator=torch.Generator().manual_seed(0)) + 1000).to(memory_format=layout)
    off, plain_off = [], []
    for norm, errors in ((GhostBatchNorm2d(c, ghost_size=32), off), (nn.BatchNorm2d(c), plain_off)):
        exact = [(part.double(), nn.BatchNorm2d(c).double()) for part in x.split(32 if errors is off else 64)]
        expected = torch.cat([layer(part) for part, layer in exact])
        errors.append((norm(x) - expected).abs().max().item())
    assert off[0] < 2 * plain_off[0] + 1e-4


def test_a_first_picture_unlike_the_others_does_not_spoil_the_variance(way):
    x = torch.randn(64, 8, 8, 8, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    x[0] += 1e4
    norm = GhostBatchNorm2d(8, ghost_size=32, momentum=1.0)
    norm(x)
    torch.testing.assert_close(norm.running_var, x.double().var((0, 2, 3)).float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("old", [1e8, -1e8, 0.0])
def test_a_step_of_one_leaves_nothing_of_the_statistics_before(old, way):
    norm, x = GhostBatchNorm2d(3, ghost_size=4, momentum=1.0), pictures(12, torch.channels_last)
    norm.running_mean.fill_(old)
    norm.running_var.fill_(abs(old))
    norm(x)
    torch.testing.assert_close(norm.running_mean, x.double().mean((0, 2, 3)).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(norm.running_var, x.double().var((0, 2, 3)).float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("lacks", ["weight", "bias"])
def test_a_layer_with_a_weight_or_a_bias_alone_equals_its_ghosts_one_by_one(lacks, way):
    x = pictures(12, torch.channels_last).requires_grad_()
    ghost, plain = GhostBatchNorm2d(3, ghost_size=4), nn.BatchNorm2d(3, track_running_stats=False)
    results = []
    for layer in (ghost, plain):
        for parameter in layer.parameters():
            parameter.data.copy_(torch.linspace(-1, 2, 3))
        setattr(layer, lacks, None)
        out = layer(x) if layer is ghost else torch.cat([layer(part) for part in x.split(4)])
        results.append((out, torch.autograd.grad(out.exp().sum(), [x, *layer.parameters()])))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_double_precision_survives_a_numerical_check():
    norm = GhostBatchNorm2d(2, ghost_size=2).double()
    x = pictures(5, torch.channels_last, c=2, size=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_has_a_gradient(layout, way):
    x, norm = pictures(5, layout, c=2, size=2).requires_grad_(), GhostBatchNorm2d(2, ghost_size=2)
    exact, exact_norm = x.detach().double().requires_grad_(), GhostBatchNorm2d(2, ghost_size=2).double()
    second = []
    for given, layer in ((x, norm), (exact, exact_norm)):
        grads = torch.autograd.grad(layer(given).exp().sum(), [given, *layer.parameters()], create_graph=True)
        second.append(torch.autograd.grad(sum(grad.square().sum() for grad in grads), [given, *layer.parameters()]))
    torch.testing.assert_close(*second, rtol=1e-3, atol=1e-3, check_dtype=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_ghost_is_plain_batch_norm_to_the_bit(layout):
    ghost, plain, x = GhostBatchNorm2d(3, ghost_size=12), nn.BatchNorm2d(3), pictures(12, layout)
    assert torch.equal(ghost(x), plain(x))
    assert all(torch.equal(a, b) for a, b in zip(ghost.state_dict().values(), plain.state_dict().values(), strict=True))


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_eval_is_plain_batch_norm_to_the_bit_for_any_batch(n):
    ghost, plain = GhostBatchNorm2d(3, ghost_size=4), nn.BatchNorm2d(3)
    ghost(pictures(12, torch.contiguous_format))
    plain.load_state_dict(ghost.state_dict())  # strict: the same keys and shapes
    assert torch.equal(ghost.eval()(pictures(n, torch.channels_last)), plain.eval()(pictures(n, torch.channels_last)))


def test_the_running_variance_is_that_of_the_batch_and_not_the_mean_of_the_ghosts():
    norm = GhostBatchNorm2d(1, ghost_size=8, momentum=1.0)
    torch.manual_seed(0)
    x = torch.randn(4096, 1, 1, 1)
    norm(x)
    assert norm.running_var.item() == pytest.approx(x.var().item(), rel=1e-5)


def test_momentum_none_averages_over_all_batches_so_that_recalibration_works(way):
    norm, plain = GhostBatchNorm2d(3, ghost_size=4, momentum=None), nn.BatchNorm2d(3, momentum=None)
    for n in (12, 8, 12):
        norm(pictures(n, torch.channels_last))
        plain(pictures(n, torch.channels_last))
    torch.testing.assert_close(norm.state_dict(), plain.state_dict())


def test_frozen_statistics_and_no_grad_are_honoured(way):
    norm = GhostBatchNorm2d(3, ghost_size=4, track_running_stats=False)
    with torch.no_grad():
        out = norm(pictures(12, torch.channels_last))
    assert norm.running_mean is None
    assert not out.requires_grad


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_activations_keep_float32_statistics(layout, way):
    x = pictures(12, layout)
    norm, reference = GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4)
    out = norm(x.bfloat16())
    assert out.dtype is torch.bfloat16
    assert out.is_contiguous(memory_format=layout)
    assert norm.running_var.dtype is torch.float32
    reference(x.bfloat16().float())
    torch.testing.assert_close(norm.running_var, reference.running_var)
