"""Batch norm of runs of neighbouring samples, in torch's own operations: any device and precision, and all that traces.

N samples, K ghosts, C channels, H x W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def neighbour_ghosts(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C, H, W) -> the same normalised, and means and unbiased variances (K, C) by ghost.

    The ghosts are those of `x.tensor_split(num_ghosts)`. Only the first result has a gradient. Statistics of
    half-precision activations have the precision of the weight, or float32.
    """
    half = x.dtype in (torch.float16, torch.bfloat16)
    dtype = weight.dtype if weight is not None else torch.float32 if half else x.dtype
    if torch.compiler.is_compiling():
        return _in_one_go(x, weight, bias, eps, num_ghosts, dtype)
    # Momentum 1 replaces what is there, unless it is NaN.
    means, variances = x.new_zeros(2, num_ghosts, x.shape[1], dtype=dtype).unbind()
    ghosts = [
        F.batch_norm(ghost, mean, variance, weight, bias, True, 1.0, eps)
        for ghost, mean, variance in zip(x.tensor_split(num_ghosts), means, variances, strict=True)
    ]
    return torch.cat(ghosts), means, variances


def _in_one_go(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Ghosts of a size side by side: a few sums and products, which a compiler fuses with what is before and after."""
    num_samples, num_channels, height, width = x.shape
    size, rest = num_samples // num_ghosts, num_samples % num_ghosts  # no divmod: torch.compile cannot follow it
    outputs, means, variances = [], [], []
    larger = rest * (size + 1)
    for part, ghosts in ((x[:larger], rest), (x[larger:], num_ghosts - rest)):
        if ghosts:
            numbers = part.unflatten(0, (ghosts, -1)).to(dtype)
            variance, mean = torch.var_mean(numbers, (1, 3, 4), correction=0, keepdim=True)
            count = numbers.shape[1] * height * width
            outputs.append(((numbers - mean) * torch.rsqrt(variance + eps)).flatten(0, 1))
            means.append(mean.detach().view(ghosts, num_channels))
            variances.append(variance.detach().view(ghosts, num_channels) * (count / (count - 1)))
    output = torch.cat(outputs)
    if weight is not None:
        output = output * weight[:, None, None]
    if bias is not None:
        output = output + bias[:, None, None]
    return output.to(x.dtype), torch.cat(means), torch.cat(variances)


def differentiable_gradients(
    grad_output: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_ghosts: int
) -> list[Tensor | None]:
    """Of x, weight and bias, with gradients of their own: what a kernel's backward pass answers to `create_graph`."""
    wanted = [each for each in (x, weight, bias) if each is not None and each.requires_grad]
    output, _, _ = neighbour_ghosts(x, weight, bias, eps, num_ghosts)
    found = iter(torch.autograd.grad(output, wanted, grad_output, create_graph=True))
    return [next(found) if each is not None and each.requires_grad else None for each in (x, weight, bias)]


def track(
    means: Tensor,
    variances: Tensor,
    num_samples: int,
    pixels: int,
    step: float | Tensor,
    running: tuple[Tensor, Tensor],
) -> None:
    """Move the running mean and variance a `step` in [0, 1] towards those of the whole batch (total variance)."""
    size, rest = num_samples // len(means), num_samples % len(means)
    total = num_samples * pixels
    if rest:  # counts by ghost (K, 1)
        sizes = [[size + 1]] * rest + [[size]] * (len(means) - rest)
        counts = torch.tensor(sizes, dtype=means.dtype, device=means.device) * pixels
        mean = (counts * means).sum(0) / total
        squares = ((counts - 1) * variances).addcmul_(counts, (means - mean).square_()).sum(0)
        scale = 1.0
    else:
        count = size * pixels
        mean = means.mean(0)
        off = means - mean
        squares = torch.addcmul(variances, off, off, value=count / (count - 1)).sum(0)
        scale = count - 1.0
    running_mean, running_var = running
    for each, new in ((running_mean, mean), (running_var, squares * (scale / (total - 1)))):
        each.lerp_(new.to(each.dtype), step.to(each.dtype) if isinstance(step, Tensor) else step)
