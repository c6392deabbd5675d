"""Ghost batch norm.  N samples, K ghosts, C channels, H x W pixels.

Source: Hoffer, Hubara and Soudry 2017, https://arxiv.org/abs/1705.08741, algorithm 1. There the running statistics
step once a ghost; here once a batch, so that `momentum` keeps torch's meaning whatever the ghost size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

aten = torch.ops.aten


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics come from `ghost_size` samples at a time.

    x (N, C, H, W) -> (N, C, H, W), in any memory format. In eval mode it is `nn.BatchNorm2d`, and the two load each
    other's state dict.

    Training splits the batch into K = max(1, N // ghost_size) ghosts whose sizes differ by at most one sample. No
    ghost is smaller than `ghost_size`, unless the whole batch is; with one ghost this is `nn.BatchNorm2d` again.
    Which samples share a ghost is not part of the contract, since batches are shuffled: they are strided (n mod K)
    where K divides N and memory is contiguous, because that is a view, and else runs of neighbours.

    The running variance is the variance of the whole batch (within the ghosts and between them, unbiased), which is
    what eval mode stands for. The mean of the ghosts' variances alone would be too small: by 4.5 % at 16 samples.

    Raises ValueError for `ghost_size` < 2: one sample has no variance over samples.
    """

    def __init__(
        self,
        num_features: int,
        ghost_size: int = 32,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        if ghost_size < 2:
            raise ValueError(f"ghost_size={ghost_size}: a ghost needs at least 2 samples")
        self.ghost_size = ghost_size

    def extra_repr(self) -> str:
        return f"{self.num_features}, ghost_size={self.ghost_size}, eps={self.eps}, momentum={self.momentum}"

    def forward(self, input: Tensor) -> Tensor:
        num_ghosts = len(input) // self.ghost_size
        if not self.training or num_ghosts < 2:
            return super().forward(input)
        self._check_input_dim(input)
        means = torch.zeros(num_ghosts, self.num_features, dtype=self._stats_dtype(input), device=input.device)
        variances = torch.ones_like(means)  # unbiased, by ghost
        if len(input) % num_ghosts == 0 and input.is_contiguous():
            output = self._strided_ghosts(input, means, variances)
            sizes = [len(input) // num_ghosts] * num_ghosts
        else:
            ghosts = input.tensor_split(num_ghosts)
            sizes = [len(ghost) for ghost in ghosts]
            if input.device.type == "cpu" and not torch.compiler.is_compiling():
                output = _NeighbourGhosts.apply(input, self.weight, self.bias, means, variances, sizes, self.eps)
            else:
                output = torch.cat([self._normalise(*each) for each in zip(ghosts, means, variances, strict=True)])
        if self.track_running_stats:
            self._track(means, variances, sizes, pixels=input[0, 0].numel())
        return output

    def _stats_dtype(self, x: Tensor) -> torch.dtype:
        """Statistics of half-precision activations are kept in the precision of the parameters."""
        for held in (self.weight, self.running_mean):
            if held is not None:
                return held.dtype
        return x.dtype

    def _strided_ghosts(self, x_NCHW: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        """One kernel call: the ghost index, the inner one of the sample index, joins the channels without a copy."""
        n, c, h, w = x_NCHW.shape
        k = len(means)
        folded = x_NCHW.view(n // k, k * c, h, w)
        weight, bias = (None if p is None else p.repeat(k) for p in (self.weight, self.bias))
        output = F.batch_norm(folded, means.view(-1), variances.view(-1), weight, bias, True, 1.0, self.eps)
        return output.view(n, c, h, w)

    def _normalise(self, ghost: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalises one ghost and leaves its statistics in `mean` and `variance`: momentum 1 replaces them."""
        return F.batch_norm(ghost, mean, variance, self.weight, self.bias, True, 1.0, self.eps)

    @torch.no_grad()
    def _track(self, means: Tensor, variances: Tensor, sizes: list[int], pixels: int) -> None:
        """Running statistics step towards the mean and the unbiased variance of the whole batch (total variance)."""
        counts = torch.tensor(sizes, dtype=means.dtype, device=means.device)[:, None] * pixels  # (K, 1)
        total = sum(sizes) * pixels
        mean = (counts * means).sum(0) / total
        variance = ((counts - 1) * variances + counts * (means - mean).square()).sum(0) / (total - 1)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # momentum=None is torch's cumulative average, which `torch.optim.swa_utils.update_bn` relies on.
        step = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance, step)


class _NeighbourGhosts(torch.autograd.Function):
    """Native batch norm over runs of samples, each written into its place of one output.

    The same as `torch.cat` over `F.batch_norm` of the runs, which on a CPU costs two to three times as much: it
    copies the whole output, and backward builds a zero-filled gradient of the whole batch for every run.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        means: Tensor,
        variances: Tensor,
        sizes: list[int],
        eps: float,
    ) -> Tensor:
        output = torch.empty_like(x)
        inverse_stds = torch.empty_like(means)
        batch_means = torch.empty_like(means)
        for k, (ghost, place) in enumerate(zip(torch.split(x, sizes), torch.split(output, sizes), strict=True)):
            aten.native_batch_norm.out(
                ghost,
                weight,
                bias,
                means[k],
                variances[k],
                True,
                1.0,
                eps,
                out=place,
                save_mean=batch_means[k],
                save_invstd=inverse_stds[k],
            )
        ctx.save_for_backward(x, weight, batch_means, inverse_stds)
        ctx.sizes, ctx.eps = sizes, eps
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, means, inverse_stds = ctx.saved_tensors
        (grad_output,) = grad_outputs
        if x.is_contiguous(memory_format=torch.channels_last):
            grad_output = grad_output.contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x)
        affine = weight is not None
        grad_weight = torch.zeros_like(means[0]) if affine else None
        grad_bias = torch.zeros_like(means[0]) if affine else None
        runs = zip(*(torch.split(each, ctx.sizes) for each in (x, grad_output, grad_x)), strict=True)
        for k, (ghost, grad, place) in enumerate(runs):
            to_x, to_weight, to_bias = aten.native_batch_norm_backward(
                grad, ghost, weight, None, None, means[k], inverse_stds[k], True, ctx.eps, [True, affine, affine]
            )
            place.copy_(to_x)
            if grad_weight is not None and grad_bias is not None:
                grad_weight += to_weight
                grad_bias += to_bias
        return grad_x, grad_weight, grad_bias, None, None, None, None
