"""Batch norm of runs of neighbouring samples, in Triton.  N samples, K ghosts, C channels, P parts of a ghost.

Channels-last memory is a matrix: a row for each sample and pixel, a column for each channel. A ghost is a run of rows.
Forward reads it twice and backward reads it and the gradient twice, as a plain batch norm does. Sums over the rows are
made by part and then added in a fixed order, without atomics: equal inputs give equal bytes.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# Triton's language is Python to look at, but a kernel's arguments have no Python types.

import logging
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ablate.model.ghosts_in_torch import differentiable_gradients

log = logging.getLogger(__name__)

ROWS, COLUMNS = 64, 64  # of a tile; 16 numbers a thread in each of 8 warps
PROGRAMS, MOST_PARTS = 1024, 64  # enough to fill a large GPU; few enough to add up again
OPTIONS = {"num_warps": 8, "enable_fp_fusion": True}  # fused multiply-add, said: Triton warns that its default changes


@cache
def is_usable() -> bool:
    """Whether Triton makes machine code here, and a line in the log if not.

    It needs a C compiler, Python's headers and a GPU that it knows. Nothing is run, and no memory taken of a GPU.
    """
    means = variances = running_mean = running_var = torch.float32
    try:
        _track.warmup(
            means, variances, running_mean, running_var, 0.1, 32, 0, 64, 64, 4, grid=(1,), C=COLUMNS, **OPTIONS
        )
    except Exception as error:  # of Triton, of its compilers, of the driver: all that it has met is another class
        log.warning("ghost batch norm: no kernels in Triton, for it fails: %s", getattr(error, "stderr", None) or error)
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
        _track[(_blocks(num_columns),)](
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
            _partial_sums[grid](x, x, x, partial, *shape, BACKWARD=False, R=ROWS, C=COLUMNS, **OPTIONS)
            _normalise[grid](
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
            _partial_sums[grid](x, grad_output, means, partial, *shape, BACKWARD=True, R=ROWS, C=COLUMNS, **OPTIONS)
            _gradients[grid](
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


# Kernels: `size` samples a ghost, the first `rest` of them have one more. A program has a part of the rows of a ghost.


@triton.jit
def _own(size, rest, pixels, num_columns, num_parts, C: tl.constexpr):
    """Ghost, part, first row and number of rows of the ghost, columns, and which of these exist."""
    ghost, part = tl.program_id(0) // num_parts, tl.program_id(0) % num_parts
    first = (ghost * size + tl.minimum(ghost, rest)) * pixels
    count = (size + tl.where(ghost < rest, 1, 0)) * pixels
    columns = tl.program_id(1) * C + tl.arange(0, C)
    return ghost, part, first, count, columns, columns < num_columns


@triton.jit
def _tile(start, first, count, columns, exists, num_columns, R: tl.constexpr):
    """Places of a tile in memory, and which of them belong to the ghost."""
    rows = start + tl.arange(0, R)
    places = (first + rows).to(tl.int64)[:, None] * num_columns + columns[None, :]
    return places, (rows < count)[:, None] & exists[None, :]


@triton.jit
def _totals(partial, ghost, columns, exists, num_columns, PARTS: tl.constexpr):
    """Both sums of a ghost over its parts."""
    parts = ghost * PARTS + tl.arange(0, PARTS)
    places = partial + parts[:, None] * (2 * num_columns) + columns[None, :]
    one = tl.load(places, mask=exists[None, :], other=0.0)
    two = tl.load(places + num_columns, mask=exists[None, :], other=0.0)
    return tl.sum(one, 0), tl.sum(two, 0)


@triton.jit
def _partial_sums(
    x, grad, means, partial, size, rest, pixels, num_columns, num_parts,
    BACKWARD: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Forward: sums of x - x0 and of its square, x0 the ghost's first row. Backward: of grad and grad * (x - mean)."""
    ghost, part, first, count, columns, exists = _own(size, rest, pixels, num_columns, num_parts, C)
    if BACKWARD:
        centre = tl.load(means + ghost * num_columns + columns, mask=exists, other=0.0)
    else:
        centre = tl.load(x + first.to(tl.int64) * num_columns + columns, mask=exists, other=0.0).to(tl.float32)
    one = tl.zeros((R, C), tl.float32)
    two = tl.zeros((R, C), tl.float32)
    for start in range(part * R, count, num_parts * R):
        places, mask = _tile(start, first, count, columns, exists, num_columns, R)
        off = tl.load(x + places, mask=mask, other=0.0).to(tl.float32) - centre[None, :]
        if BACKWARD:
            slope = tl.load(grad + places, mask=mask, other=0.0).to(tl.float32)
            one += slope
            two += slope * off
        else:
            off = tl.where(mask, off, 0.0)
            one += off
            two += off * off
    to = partial + (ghost * num_parts + part) * 2 * num_columns + columns
    tl.store(to, tl.sum(one, 0), mask=exists)
    tl.store(to + num_columns, tl.sum(two, 0), mask=exists)


@triton.jit
def _normalise(
    x, partial, weight, bias, output, means, variances, inverse_stds, eps, size, rest, pixels, num_columns, num_parts,
    AFFINE: tl.constexpr, PARTS: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    ghost, part, first, count, columns, exists = _own(size, rest, pixels, num_columns, num_parts, C)
    total, squares = _totals(partial, ghost, columns, exists, num_columns, PARTS)
    centre = tl.load(x + first.to(tl.int64) * num_columns + columns, mask=exists, other=0.0).to(tl.float32)
    mean = centre + total / count
    squares = tl.maximum(squares - total * (total / count), 0.0)
    scale = 1.0 / tl.sqrt(squares / count + eps)
    if part == 0:
        to = ghost * num_columns + columns
        tl.store(means + to, mean, mask=exists)
        tl.store(variances + to, squares / (count - 1), mask=exists)
        tl.store(inverse_stds + to, scale, mask=exists)
    offset = tl.zeros((C,), tl.float32)
    if AFFINE:
        scale = scale * tl.load(weight + columns, mask=exists, other=0.0).to(tl.float32)
        offset = tl.load(bias + columns, mask=exists, other=0.0).to(tl.float32)
    for start in range(part * R, count, num_parts * R):
        places, mask = _tile(start, first, count, columns, exists, num_columns, R)
        off = tl.load(x + places, mask=mask, other=0.0).to(tl.float32) - mean[None, :]
        tl.store(output + places, off * scale[None, :] + offset[None, :], mask=mask)


@triton.jit
def _gradients(
    x, grad, partial, means, inverse_stds, weight, grad_x, grad_weight, grad_bias,
    size, rest, pixels, num_columns, num_parts,
    AFFINE: tl.constexpr, PARTS: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    ghost, part, first, count, columns, exists = _own(size, rest, pixels, num_columns, num_parts, C)
    to = ghost * num_columns + columns
    mean = tl.load(means + to, mask=exists, other=0.0)
    inverse_std = tl.load(inverse_stds + to, mask=exists, other=0.0)
    total, dots = _totals(partial, ghost, columns, exists, num_columns, PARTS)
    dots = dots * inverse_std  # of grad and x_hat
    if part == 0:
        tl.store(grad_weight + to, dots, mask=exists)
        tl.store(grad_bias + to, total, mask=exists)
    scale = inverse_std
    if AFFINE:
        scale = scale * tl.load(weight + columns, mask=exists, other=0.0).to(tl.float32)
    lean = inverse_std * dots / count
    for start in range(part * R, count, num_parts * R):
        places, mask = _tile(start, first, count, columns, exists, num_columns, R)
        off = tl.load(x + places, mask=mask, other=0.0).to(tl.float32) - mean[None, :]
        slope = tl.load(grad + places, mask=mask, other=0.0).to(tl.float32)
        value = (slope - (total / count)[None, :] - off * lean[None, :]) * scale[None, :]
        tl.store(grad_x + places, value, mask=mask)


@triton.jit
def _track(
    means, variances, running_mean, running_var, step, size, rest, pixels, num_columns, num_ghosts, C: tl.constexpr
):
    columns = tl.program_id(0) * C + tl.arange(0, C)
    exists = columns < num_columns
    total = (num_ghosts * size + rest) * pixels
    mean = tl.zeros((C,), tl.float32)
    for ghost in range(num_ghosts):
        count = (size + tl.where(ghost < rest, 1, 0)) * pixels
        mean += tl.load(means + ghost * num_columns + columns, mask=exists, other=0.0) * count
    mean = mean / total
    squares = tl.zeros((C,), tl.float32)
    for ghost in range(num_ghosts):
        count = (size + tl.where(ghost < rest, 1, 0)) * pixels
        off = tl.load(means + ghost * num_columns + columns, mask=exists, other=0.0) - mean
        inner = tl.load(variances + ghost * num_columns + columns, mask=exists, other=0.0)
        squares += inner * (count - 1) + off * off * count
    old_mean = tl.load(running_mean + columns, mask=exists, other=0.0)
    old_var = tl.load(running_var + columns, mask=exists, other=0.0)
    # Not old + step * (new - old): with a step of 1 the old one is to be gone, however large it is.
    tl.store(running_mean + columns, (1 - step) * old_mean + step * mean, mask=exists)
    tl.store(running_var + columns, (1 - step) * old_var + step * (squares / (total - 1)), mask=exists)
