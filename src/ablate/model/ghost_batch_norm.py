"""Ghost batch norm.  N samples, K ghosts, C channels, H x W pixels.

Source: Hoffer, Hubara and Soudry 2017, https://arxiv.org/abs/1705.08741, algorithm 1. There the running statistics
step once a ghost; here once a batch, so that `momentum` keeps torch's meaning whatever the ghost size.
"""

import logging
from functools import cache
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from ablate.model import ghosts_in_torch

log = logging.getLogger(__name__)

PLAIN = (Tensor, nn.Parameter)  # what kernels may read: no tensor of another type that only looks like one
KERNEL_INPUTS = (torch.float32, torch.bfloat16, torch.float16)


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

    Raises ValueError for `ghost_size` < 2 (one sample has no variance over samples), and for x of other channels than
    `num_features`.
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
        kernels = self._kernels(input)
        output: Tensor
        output, means, variances = kernels.neighbour_ghosts(input, self.weight, self.bias, self.eps, max(1, num_ghosts))
        pixels = input.shape[2:].numel()
        if self.track_running_stats and self.is_shared:
            mean, variance = means.new_zeros(2, self.num_features).unbind()
            with torch.no_grad():
                kernels.track(means, variances, len(input), pixels, 1.0, (mean, variance))
            self.held = torch.stack([mean, variance]), pixels
        elif self.track_running_stats:
            self._track(means, variances, len(input), pixels, kernels)
        return output

    def track_shares(self, means: Tensor, variances: Tensor, num_samples: int) -> None:
        """Running statistics step towards those of a batch in shares, each with its mean and unbiased variance (K, C).

        num_samples: of the batch. Shares are even; where they cannot be, the first ones hold a sample more.
        """
        assert self.held is not None, "track_shares is called once after a forward pass of a shared batch"
        _, pixels = self.held
        self.held = None
        kernels = kernels_for(means.device) if self._has_plain_state(means) else None
        self._track(means, variances, num_samples, pixels, kernels or ghosts_in_torch)

    def _check_input_dim(self, input: Tensor) -> None:
        super()._check_input_dim(input)
        if input.shape[1] != self.num_features:
            raise ValueError(f"input of {input.shape[1]} channels, layer of num_features={self.num_features}")

    def _kernels(self, x: Tensor) -> ModuleType:
        """Those that take x as it is, else torch's operations."""
        if x.dtype not in KERNEL_INPUTS or len(x) < 2 or _is_watched() or not self._has_plain_state(x):
            return ghosts_in_torch
        if x.is_cuda and not x.is_contiguous(memory_format=torch.channels_last):
            return ghosts_in_torch
        return kernels_for(x.device) or ghosts_in_torch

    def _has_plain_state(self, beside: Tensor) -> bool:
        """Parameters and buffers, and `beside` on whose device they are, have float32 numbers in memory in a row."""
        device = beside.device
        for each in (self.weight, self.bias, self.running_mean, self.running_var):
            if each is not None and not (
                each.dtype is torch.float32
                and each.device == device
                and each.numel() == self.num_features
                and each.is_contiguous()
                and not each.is_neg()
                and type(each) in PLAIN
            ):
                return False
        return type(beside) in PLAIN

    @torch.no_grad()
    def _track(self, means: Tensor, variances: Tensor, num_samples: int, pixels: int, kernels: ModuleType) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # momentum=None is torch's cumulative average, which `torch.optim.swa_utils.update_bn` relies on.
        step: float | Tensor
        if self.momentum is not None:
            step = self.momentum
        elif kernels is ghosts_in_torch:  # a tensor: a number would have a compiled layer compiled anew in every step
            step = 1.0 / self.num_batches_tracked
        else:
            step = 1.0 / float(self.num_batches_tracked)
        kernels.track(means, variances, num_samples, pixels, step, (self.running_mean, self.running_var))


def _is_watched() -> bool:
    """By something that follows or transforms torch's operations, and does not see what a kernel does."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or is_in_torch_dispatch_mode()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


@cache
def kernels_for(device: torch.device) -> ModuleType | None:
    """Kernels that take all ghosts at once, in Triton on a GPU and in C on a CPU; they are compiled when they are first
    called. None where they cannot be compiled (no C compiler, which both need), or there are none for the device.
    """
    if device.type == "cpu":
        from ablate.model import ghosts_on_cpu

        return ghosts_on_cpu if ghosts_on_cpu.library() else None
    if device.type != "cuda":
        return None
    try:
        from ablate.model import ghosts_on_gpu
    except Exception as error:  # no Triton, or one that cannot be loaded
        log.warning(
            "ghost batch norm in plain operations: Triton cannot be imported (%s: %s)", type(error).__name__, error
        )
        return None
    return ghosts_on_gpu if ghosts_on_gpu.is_usable(device) else None
