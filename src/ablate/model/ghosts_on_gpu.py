"""Batch norm of runs of neighbouring samples, in Triton.  N samples, K ghosts, C channels, P parts of a ghost.

Channels-last memory is a matrix: a row for each sample and pixel, a column for each channel. A ghost is a run of rows.
Forward reads it twice and backward reads it and the gradient twice, as a plain batch norm does. Sums over the rows are
made by part and then added in a fixed order, without atomics: equal inputs give equal bytes.
"""

import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ablate.model import triton_kernels
from ablate.model.ghosts_in_torch import differentiable_gradients
from ablate.record import one_line

log = logging.getLogger(__name__)

ROWS, COLUMNS = 64, 64  # of a tile; 16 numbers a thread in each of 8 warps
PROGRAMS, MOST_PARTS = 1024, 64  # enough to fill a large GPU; few enough to add up again
OPTIONS = {"num_warps": 8, "enable_fp_fusion": True}  # fused multiply-add, said: Triton warns that its default changes


@cache
def is_usable(device: torch.device) -> bool:
    """Whether Triton makes machine code for this GPU, here, and a line in the log if not. Nothing is run."""
    means = variances = running_mean = running_var = torch.float32
    sizes = 0.1, 32, 0, 64, 64, 4
    try:
        with torch.cuda.device(device):
            triton_kernels.track.warmup(
                means, variances, running_mean, running_var, *sizes, grid=(1,), C=COLUMNS, **OPTIONS
            )
    except Exception as error:  # of Triton, of its compilers, of the driver: all that it has met is another class
        log.warning(
            "ghost batch norm in plain operations: Triton failed (%s); it needs a C compiler, Python's headers and a "
            "GPU that it knows",
            one_line(error),
        )
        return False
    return True


def neighbour_ghosts(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C, H, W) in channels-last memory -> the same normalised, and means and unbiased variances (K, C) by ghost.

    The ghosts are those of `x.tensor_split(num_ghosts)`. Only the first result has a gradient. Statistics are float32.
    """
    if weight is None and bias is not None:
        weight = torch.ones_like(bias)
    elif bias is None and weight is not None:
        bias = torch.zeros_like(weight)
    output, means, variances = _NeighbourGhosts.apply(x, weight, bias, eps, num_ghosts)
    return output, means, variances


def track(
    means: Tensor, variances: Tensor, num_samples: int, pixels: int, step: float, running: tuple[Tensor, Tensor]
) -> None:
    """Move the running mean and variance a `step` in [0, 1] towards those of the whole batch (total variance)."""
    size, rest = divmod(num_samples, len(means))
    num_columns = means.shape[1]
    with torch.cuda.device_of(means):
        triton_kernels.track[(_blocks(num_columns),)](
            *(means, variances, *running, float(step), size, rest, pixels, num_columns, len(means)),
            C=COLUMNS,
            **OPTIONS,
        )


class _NeighbourGhosts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_columns = x.shape[1]
        output = torch.empty_like(x)
        means, variances, inverse_stds = torch.empty(3, num_ghosts, num_columns, device=x.device).unbind()
        grid, partial, shape = _layout(x, num_ghosts)
        with torch.cuda.device_of(x):
            triton_kernels.partial_sums[grid](x, x, x, partial, *shape, BACKWARD=False, R=ROWS, C=COLUMNS, **OPTIONS)
            triton_kernels.normalise[grid](
                *(x, partial, x if weight is None else weight, x if bias is None else bias, output),
                *(means, variances, inverse_stds, float(eps), *shape),
                AFFINE=weight is not None,
                PARTS=partial.shape[1],
                R=ROWS,
                C=COLUMNS,
                **OPTIONS,
            )
        ctx.save_for_backward(x, weight, bias, means, inverse_stds)
        ctx.eps = eps
        ctx.mark_non_differentiable(means, variances)
        ctx.set_materialize_grads(False)  # the statistics have none
        return output, means, variances

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_outputs[0] is None:
            return None, None, None, None, None
        x, weight, bias, means, inverse_stds = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph
            return *differentiable_gradients(grad_outputs[0], x, weight, bias, ctx.eps, len(means)), None, None
        grad_output = grad_outputs[0].contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x)
        by_ghost = torch.empty(2, *means.shape, device=x.device)  # gradients of weight and bias
        grid, partial, shape = _layout(x, len(means))
        with torch.cuda.device_of(x):
            triton_kernels.partial_sums[grid](
                x, grad_output, means, partial, *shape, BACKWARD=True, R=ROWS, C=COLUMNS, **OPTIONS
            )
            triton_kernels.gradients[grid](
                *(x, grad_output, partial, means, inverse_stds, x if weight is None else weight),
                *(grad_x, *by_ghost.unbind(), *shape),
                AFFINE=weight is not None,
                PARTS=partial.shape[1],
                R=ROWS,
                C=COLUMNS,
                **OPTIONS,
            )
        if weight is None:
            return grad_x, None, None, None, None
        grad_weight, grad_bias = by_ghost.sum(1).unbind()
        return grad_x, grad_weight, grad_bias, None, None


def _layout(x: Tensor, num_ghosts: int) -> tuple[tuple[int, int], Tensor, tuple[int, ...]]:
    """The grid of programs, room for their sums (K, P, 2, C), and what every kernel is told of the shape."""
    num_samples, num_columns, height, width = x.shape
    size, rest = divmod(num_samples, num_ghosts)
    pixels, blocks = height * width, _blocks(num_columns)
    wanted = min(-(-PROGRAMS // (num_ghosts * blocks)), -(-size * pixels // ROWS), MOST_PARTS)
    num_parts = 1 << max(0, wanted - 1).bit_length()  # a power of two
    partial = torch.empty(num_ghosts, num_parts, 2, num_columns, device=x.device)
    return (num_ghosts * num_parts, blocks), partial, (size, rest, pixels, num_columns, num_parts)


def _blocks(num_columns: int) -> int:
    """Of COLUMNS each, the last one in part. (triton.cdiv takes 2 us outside a kernel.)"""
    return -(-num_columns // COLUMNS)
