"""Ghost batch norm.  N samples, K ghosts, C channels, H x W pixels.

Source: Hoffer, Hubara and Soudry 2017, https://arxiv.org/abs/1705.08741, algorithm 1. There the running statistics
step once a ghost; here once a batch, so that `momentum` keeps torch's meaning whatever the ghost size.
"""

import importlib
import importlib.util
import os
import shutil
from functools import cache
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics come from `ghost_size` samples at a time.

    x (N, C, H, W) -> (N, C, H, W), in any memory format. In eval mode it is `nn.BatchNorm2d`, and the two load each
    other's state dict.

    Training splits the batch into K = max(1, N // ghost_size) ghosts whose sizes differ by at most one sample. No
    ghost is smaller than `ghost_size`, unless the whole batch is; with one ghost this is `nn.BatchNorm2d` again.
    Neighbours in the batch share a ghost: the ghosts are those of `x.tensor_split(K)`.

    The running variance is the variance of the whole batch (within the ghosts and between them, unbiased), which is
    what eval mode stands for. The mean of the ghosts' variances alone would be too small: by 4.5 % at 16 samples.

    Where several processes share a batch, each normalises its own samples: a ghost never spans two. The running
    statistics then are of the whole batch all the same, if `SharedStatistics` is told of every step.

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
        self.is_shared = False  # the batch; see `SharedStatistics`
        self.held: tuple[Tensor, int] | None = None  # of a share: mean and unbiased variance (2, C); pixels of a sample

    def extra_repr(self) -> str:
        return f"{self.num_features}, ghost_size={self.ghost_size}, eps={self.eps}, momentum={self.momentum}"

    def forward(self, input: Tensor) -> Tensor:
        num_ghosts = len(input) // self.ghost_size
        if not self.training or (num_ghosts < 2 and not self.is_shared):
            return super().forward(input)
        self._check_input_dim(input)
        num_ghosts = max(1, num_ghosts)
        kernels = self._kernels(input)
        output: Tensor
        if kernels:
            output, means, variances = kernels.neighbour_ghosts(input, self.weight, self.bias, self.eps, num_ghosts)
        else:
            output, means, variances = self._ghost_by_ghost(input, num_ghosts)
        pixels = input[0, 0].numel()
        if self.track_running_stats and self.is_shared:
            mean, variance = self._room(input, 1)
            _step_towards(means, variances, len(input), pixels, 1.0, (mean[0], variance[0]), kernels)
            self.held = torch.cat([mean, variance]), pixels
        elif self.track_running_stats:
            self._track(means, variances, len(input), pixels, kernels)
        return output

    def track_shares(self, means: Tensor, variances: Tensor, num_samples: int) -> None:
        """Running statistics step towards those of a batch in shares, each with its mean and unbiased variance (K, C).

        num_samples: of the batch. Shares are even; where they cannot be, the first ones hold a sample more.
        """
        assert self.held is not None
        _, pixels = self.held
        self.held = None
        kernels = kernels_for(means.device) if means.dtype is torch.float32 else None
        self._track(means, variances, num_samples, pixels, kernels)

    def _stats_dtype(self, x: Tensor) -> torch.dtype:
        """Statistics of half-precision activations are kept in the precision of the parameters."""
        for held in (self.weight, self.running_mean):
            if held is not None:
                return held.dtype
        return x.dtype

    def _kernels(self, x: Tensor) -> ModuleType | None:
        """Those that take x as it is; none while a compiler looks on, which makes its own."""
        if torch.compiler.is_compiling() or self._stats_dtype(x) is not torch.float32 or len(x) < 2:
            return None
        if x.device.type == "cuda" and not x.is_contiguous(memory_format=torch.channels_last):
            return None
        return kernels_for(x.device)

    def _ghost_by_ghost(self, x: Tensor, num_ghosts: int) -> tuple[Tensor, Tensor, Tensor]:
        """Plain operations, which trace, and run on any device."""
        means, variances = self._room(x, num_ghosts)
        runs = zip(x.tensor_split(num_ghosts), means, variances, strict=True)
        ghosts = [
            F.batch_norm(ghost, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
            for ghost, mean, variance in runs
        ]
        return torch.cat(ghosts), means, variances

    def _room(self, x: Tensor, num_ghosts: int) -> tuple[Tensor, Tensor]:
        """For means and unbiased variances by ghost (K, C). Momentum 1 replaces what is there, unless it is NaN."""
        means, variances = torch.zeros(2, num_ghosts, self.num_features, dtype=self._stats_dtype(x), device=x.device)
        return means, variances

    def _track(
        self, means: Tensor, variances: Tensor, num_samples: int, pixels: int, kernels: ModuleType | None
    ) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # momentum=None is torch's cumulative average, which `torch.optim.swa_utils.update_bn` relies on.
        step = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        _step_towards(means, variances, num_samples, pixels, step, (self.running_mean, self.running_var), kernels)


@torch.no_grad()
def _step_towards(
    means: Tensor,
    variances: Tensor,
    num_samples: int,
    pixels: int,
    step: float,
    running: tuple[Tensor, Tensor],
    kernels: ModuleType | None,
) -> None:
    """A `step` in [0, 1] of the running mean and variance (C,) towards those of the whole batch (total variance), from
    the means and unbiased variances of its ghosts (K, C)."""
    if kernels:
        kernels.track(means, variances, num_samples, pixels, step, running)
        return
    size, rest = divmod(num_samples, len(means))
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
    running_mean.lerp_(mean, step)
    running_var.mul_(1 - step).add_(squares, alpha=step * scale / (total - 1))


@cache
def kernels_for(device: torch.device) -> ModuleType | None:
    """Kernels that take all ghosts at once, in Triton on a GPU and in C on a CPU; they are compiled when they are first
    called. None where there is no C compiler, which both need, or no kernels for the device: plain operations serve.
    """
    if device.type == "cpu":
        from ablate.model import ghosts_on_cpu

        return ghosts_on_cpu if ghosts_on_cpu.library() else None
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if device.type != "cuda" or not compiler or importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("ablate.model.ghosts_on_gpu")
