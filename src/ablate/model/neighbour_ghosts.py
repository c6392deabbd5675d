"""Batch norm of runs of neighbouring samples, on a CPU.

N samples, K ghosts, C channels, R = N / K * H * W rows of a ghost.

In channels-last memory a ghost is a dense block of R rows by C channels. Large blocks go through torch's own kernels,
one call each. Small ones would cost more in calls than in arithmetic: they go through kernels that take all K at once.
Backward takes from torch's kernel its two fused sums alone, and makes the gradient in two passes over the whole batch.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

aten = torch.ops.aten
# Numbers in a ghost from which on torch's kernels, called ghost by ghost, cost less (benchmarks/NOTES.md).
LARGE_FORWARD, LARGE_BACKWARD = 2**18, 2**17


def neighbour_ghosts(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C, H, W) in channels-last memory -> the same normalised, and means and unbiased variances (K, C) by ghost.

    The ghosts are those of `x.tensor_split(num_ghosts)`. Only the first result has a gradient.
    """
    size, rest = divmod(len(x), num_ghosts)
    if rest:  # the first ghosts hold a sample more: an even part each
        parts = x.split([rest * (size + 1), len(x) - rest * (size + 1)])
        results = [
            neighbour_ghosts(part, weight, bias, eps, count)
            for part, count in zip(parts, (rest, num_ghosts - rest), strict=True)
        ]
        output, means, variances = (torch.cat(each) for each in zip(*results, strict=True))
        return output, means, variances
    output, means, variances = _NeighbourGhosts.apply(x, weight, bias, eps, num_ghosts)
    return output, means, variances


class _NeighbourGhosts(torch.autograd.Function):
    """`neighbour_ghosts` of channels-last x where K divides N."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        normalise = _one_by_one if x.numel() >= LARGE_FORWARD * num_ghosts else _all_at_once
        output, means, variances, saved_means, inverse_stds = normalise(x, weight, bias, eps, num_ghosts)
        ctx.save_for_backward(x, weight, saved_means, inverse_stds)
        ctx.mark_non_differentiable(means, variances)
        ctx.set_materialize_grads(False)  # the statistics have none
        return output, means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_outputs[0] is None:
            return None, None, None, None, None
        x, weight, means, inverse_stds = ctx.saved_tensors  # the last two (K, 1, C)
        num_ghosts = len(means)
        grad_output = grad_outputs[0].contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x)
        rows, grad_rows, out = (_rows(each, num_ghosts) for each in (x, grad_output, grad_x))
        if x.numel() >= LARGE_BACKWARD * num_ghosts:
            dots, sums = _fused_sums(x, grad_output, means, inverse_stds)
        else:
            # 2 (x - mean) grad, in one pass: the derivative of a squared distance.
            aten.mse_loss_backward.grad_input(grad_rows, rows, means, 0, grad_input=out)
            dots = out.sum(1, keepdim=True).mul_(inverse_stds).mul_(0.5)
            sums = grad_rows.sum(1, keepdim=True)
        # grad_x = scale (grad - mean of grad - x_hat * mean of grad x_hat), as grad * scale + x * slope + offset
        scale = inverse_stds if weight is None else inverse_stds * weight
        slope = (dots * inverse_stds).mul_(scale).div_(-rows.shape[1])
        offset = (sums * scale).div_(-rows.shape[1]).addcmul_(slope, means, value=-1)
        torch.addcmul(offset, rows, slope, out=out).addcmul_(grad_rows, scale)
        if weight is None:
            return grad_x, None, None, None, None
        return grad_x, dots.sum((0, 1)), sums.sum((0, 1)), None, None


def _all_at_once(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> tuple[Tensor, ...]:
    output = torch.empty_like(x)
    rows, out = _rows(x, num_ghosts), _rows(output, num_ghosts)
    num_rows = rows.shape[1]
    means = rows.sum(1, keepdim=True).div_(num_rows)
    aten.mse_loss.out(rows, means, 0, out=out)  # (x - mean)^2 in one pass; the output is the scratch space
    squares = out.sum(1, keepdim=True)
    inverse_stds = (squares / num_rows).add_(eps).rsqrt_()
    if weight is None or bias is None:
        scale, offset = inverse_stds, -means * inverse_stds
    else:
        scale = inverse_stds * weight
        offset = torch.addcmul(bias, means, scale, value=-1)
    torch.addcmul(offset, rows, scale, out=out)
    return output, means.squeeze(1), squares.squeeze(1).div_(num_rows - 1), means, inverse_stds


def _one_by_one(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> tuple[Tensor, ...]:
    output = torch.empty_like(x)
    means, variances, saved_means, inverse_stds = torch.zeros(4, num_ghosts, x.shape[1], dtype=x.dtype)
    size = len(x) // num_ghosts
    runs = zip(x.split(size), output.split(size), means, variances, saved_means, inverse_stds, strict=True)
    for ghost, place, mean, variance, saved_mean, inverse_std in runs:
        # Momentum 1 leaves the ghost's own statistics where running ones are expected.
        aten.native_batch_norm.out(
            ghost,
            weight,
            bias,
            mean,
            variance,
            True,
            1.0,
            eps,
            out=place,
            save_mean=saved_mean,
            save_invstd=inverse_std,
        )
    return output, means, variances, saved_means.unsqueeze(1), inverse_stds.unsqueeze(1)


def _fused_sums(x: Tensor, grad_output: Tensor, means: Tensor, inverse_stds: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the rows of every ghost, (K, 1, C) each: of grad * x_hat, and of grad."""
    size = len(x) // len(means)
    pairs = [
        aten.native_batch_norm_backward(
            grad, ghost, None, None, None, mean, inverse_std, True, 0.0, [False, True, True]
        )[1:]
        for grad, ghost, mean, inverse_std in zip(
            grad_output.split(size), x.split(size), means.squeeze(1), inverse_stds.squeeze(1), strict=True
        )
    ]
    dots, sums = (torch.stack(each).unsqueeze(1) for each in zip(*pairs, strict=True))
    return dots, sums


def _rows(x: Tensor, num_ghosts: int) -> Tensor:
    """(N, C, H, W) in channels-last memory -> the same memory as (K, R, C)."""
    return x.permute(0, 2, 3, 1).view(num_ghosts, -1, x.shape[1])
