"""Running statistics of batches that several processes share.  R processes, C channels of all layers together.

Each process normalises its own share of a batch. What eval mode normalises by is of the whole batch nevertheless, as in
one process with that batch: the shares' means and variances go round once a step, those of all layers in one message.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d


class SharedStatistics:
    """Of the ghost batch norms of a network. From here on, `track` is to be called after every training step's forward
    pass, in all processes, until `release`. Other layers are left to the strategy, which knows of plain batch norm."""

    def __init__(self, net: nn.Module) -> None:
        self._layers = [layer for layer in net.modules() if isinstance(layer, GhostBatchNorm2d)]
        for layer in self._layers:
            layer.is_shared = True

    def track(self, num_samples: int) -> None:
        """Of the step that was just forwarded; num_samples: over all processes."""
        used = [(layer, layer.held[0]) for layer in self._layers if layer.held is not None]
        if not used:
            return
        widths = [held.shape[1] for _, held in used]
        everyone = _gathered(torch.cat([held for _, held in used], dim=1))  # (R, 2, C)
        for (layer, _), shares in zip(used, everyone.split(widths, dim=2), strict=True):
            means, variances = shares.unbind(1)
            layer.track_shares(means.contiguous(), variances.contiguous(), num_samples)

    def release(self) -> None:
        for layer in self._layers:
            layer.is_shared, layer.held = False, None


def _gathered(mine: Tensor) -> Tensor:
    """The same from every process, by rank: (..., C) -> (R, ..., C)."""
    everyone = mine.new_empty(dist.get_world_size(), *mine.shape)
    dist.all_gather_into_tensor(everyone.view(-1), mine.contiguous().view(-1))
    return everyone
