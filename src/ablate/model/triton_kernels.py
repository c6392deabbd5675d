"""What `ghosts_on_gpu` runs on a GPU, in Triton's language.

`size` samples a ghost, the first `rest` of them have one more. A program has a part of the rows of a ghost.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# Triton's language is Python to look at, but a kernel's arguments have no Python types.

import triton
import triton.language as tl


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
def partial_sums(
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
def normalise(
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
def gradients(
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
def track(
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
    # Not old + step * (new - old): with a step of 1 the old one is to be gone, however large (but finite) it is.
    tl.store(running_mean + columns, (1 - step) * old_mean + step * mean, mask=exists)
    tl.store(running_var + columns, (1 - step) * old_var + step * (squares / (total - 1)), mask=exists)
