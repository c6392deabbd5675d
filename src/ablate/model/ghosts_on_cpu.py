"""Batch norm of runs of neighbouring samples, on a CPU, in C.  N samples, K ghosts, C channels, H x W pixels."""

import ctypes
from ctypes import c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablate.model.compiled import load
from ablate.model.ghosts_in_torch import differentiable_gradients


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

    The ghosts are those of `x.tensor_split(num_ghosts)`. Only the first result has a gradient. Weight and bias are
    float32 and contiguous, or None. Statistics are float32; the output has the precision of x, and its memory format
    where it is dense, else channels-last.
    """
    dense = x.float().resolve_neg()
    if not dense.is_contiguous():
        dense = dense.contiguous(memory_format=torch.channels_last)
    output, means, variances = _NeighbourGhosts.apply(dense, weight, bias, eps, num_ghosts)
    return output.to(x.dtype), means, variances


def track(
    means: Tensor, variances: Tensor, num_samples: int, pixels: int, step: float, running: tuple[Tensor, Tensor]
) -> None:
    """Move the running mean and variance a `step` in [0, 1] towards those of the whole batch (total variance)."""
    num_ghosts, num_channels = means.shape
    for each in running:
        assert each.shape == (num_channels,), f"running statistics {tuple(each.shape)} of {num_channels} channels"
    _kernels().ghosts_track(
        *(num_samples, num_ghosts, num_channels, pixels, _at(means), _at(variances)), step, *map(_at, running)
    )


class _NeighbourGhosts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        output = torch.empty_like(x)
        means, variances, inverse_stds = x.new_empty(3, num_ghosts, x.shape[1]).unbind()
        failed = _kernels().ghosts_forward(
            *_shape(x, num_ghosts),
            *(_at(x), _at(weight), _at(bias), eps, _at(output), _at(means), _at(variances), _at(inverse_stds)),
        )
        if failed:
            raise MemoryError("no memory for the sums of ghost batch norm")
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
        layout = torch.channels_last if _is_channels_last(x) else torch.contiguous_format
        grad_output = grad_outputs[0].resolve_neg().contiguous(memory_format=layout)
        grad_x = torch.empty_like(x)
        both = means.new_empty(2, *means.shape)  # by ghost: sums of the gradient; of the gradient times x normalised
        failed = _kernels().ghosts_backward(
            *_shape(x, len(means)),
            *(_at(x), _at(grad_output), _at(weight), _at(means), _at(inverse_stds)),
            *(_at(grad_x), *map(_at, both.unbind())),
        )
        if failed:
            raise MemoryError("no memory for the sums of ghost batch norm")
        grad_bias, grad_weight = both.sum(1).unbind()
        return grad_x, None if weight is None else grad_weight, None if bias is None else grad_bias, None, None


def _kernels() -> ctypes.CDLL:
    found = library()
    assert found is not None, "ghost_batch_norm.kernels_for gives these out where they could be compiled"
    return found


def _shape(x: Tensor, num_ghosts: int) -> tuple[int, ...]:
    n, c, h, w = x.shape
    return n, num_ghosts, c, h * w, int(_is_channels_last(x))


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _at(tensor: Tensor | None) -> int | None:
    if tensor is None:
        return None
    assert tensor.dtype is torch.float32, f"kernels of float32 were given {tensor.dtype}"
    assert tensor.is_contiguous() or _is_channels_last(tensor), "kernels of dense memory were given a strided tensor"
    return tensor.data_ptr()
