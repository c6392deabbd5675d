"""Batch norm of runs of neighbouring samples, on a CPU, in C.  N samples, K ghosts, C channels, H x W pixels."""

import ctypes
from ctypes import c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ablate.model.compiled import load


@cache
def library() -> ctypes.CDLL | None:
    """The kernels; None where they cannot be compiled."""
    found = load("ghosts", Path(__file__).with_name("c"))
    if found is not None:
        shape = [c_int64] * 5
        found.ghosts_forward.argtypes = [*shape, *[c_void_p] * 3, c_double, *[c_void_p] * 4]
        found.ghosts_backward.argtypes = [*shape, *[c_void_p] * 8]
        found.ghosts_track.argtypes = [*shape[:4], *[c_void_p] * 2, c_double, *[c_void_p] * 2]
        found.ghosts_track.restype = None
    return found


def neighbour_ghosts(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C, H, W) -> the same normalised, and means and unbiased variances (K, C) by ghost.

    The ghosts are those of `x.tensor_split(num_ghosts)`. Only the first result has a gradient. Statistics are float32;
    the output has the precision and the memory format of x.
    """
    dense = x.float()
    if not dense.is_contiguous():
        dense = dense.contiguous(memory_format=torch.channels_last)
    if weight is not None and bias is not None:
        weight, bias = weight.contiguous(), bias.contiguous()
    output, means, variances = _NeighbourGhosts.apply(dense, weight, bias, eps, num_ghosts)
    return output.to(x.dtype), means, variances


def track(
    means: Tensor, variances: Tensor, num_samples: int, pixels: int, step: float, running: tuple[Tensor, Tensor]
) -> None:
    """Move the running mean and variance a `step` in [0, 1] towards those of the whole batch (total variance)."""
    num_ghosts, num_channels = means.shape
    assert all(each.is_contiguous() for each in (means, variances, *running))
    _kernels().ghosts_track(
        *(num_samples, num_ghosts, num_channels, pixels, _at(means), _at(variances)), step, *map(_at, running)
    )


class _NeighbourGhosts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        output = torch.empty_like(x)
        means, variances, inverse_stds = torch.empty(3, num_ghosts, x.shape[1]).unbind()
        failed = _kernels().ghosts_forward(
            *_shape(x, num_ghosts),
            *(_at(x), _at(weight), _at(bias), eps, _at(output), _at(means), _at(variances), _at(inverse_stds)),
        )
        if failed:
            raise MemoryError("no memory for the sums of ghost batch norm")
        ctx.save_for_backward(x, weight, means, inverse_stds)
        ctx.mark_non_differentiable(means, variances)
        ctx.set_materialize_grads(False)  # the statistics have none
        return output, means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_outputs[0] is None:
            return None, None, None, None, None
        x, weight, means, inverse_stds = ctx.saved_tensors
        layout = torch.channels_last if _is_channels_last(x) else torch.contiguous_format
        grad_output = grad_outputs[0].contiguous(memory_format=layout)
        grad_x = torch.empty_like(x)
        both = torch.empty(2, *means.shape)  # by ghost: sums of the gradient; sums of the gradient times x normalised
        failed = _kernels().ghosts_backward(
            *_shape(x, len(means)),
            *(_at(x), _at(grad_output), _at(weight), _at(means), _at(inverse_stds)),
            *(_at(grad_x), *map(_at, both.unbind())),
        )
        if failed:
            raise MemoryError("no memory for the sums of ghost batch norm")
        if weight is None:
            return grad_x, None, None, None, None
        grad_bias, grad_weight = both.sum(1).unbind()
        return grad_x, grad_weight, grad_bias, None, None


def _kernels() -> ctypes.CDLL:
    found = library()
    assert found is not None
    return found


def _shape(x: Tensor, num_ghosts: int) -> tuple[int, ...]:
    n, c, h, w = x.shape
    return n, num_ghosts, c, h * w, int(_is_channels_last(x))


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _at(tensor: Tensor | None) -> int | None:
    if tensor is None:
        return None
    assert tensor.dtype is torch.float32
    return tensor.data_ptr()
