"""Do the maps follow the weights?  The randomisation test.  N pictures, h x w cells of a layer.

Source: Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, section 4: weights are replaced by random ones from the
head down, and the maps are compared with those of the trained network. A method whose maps stay the same draws
outlines, whatever the network has learned.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from ablate.explain.interval import Interval, mean_interval
from ablate.explain.maps import explain
from ablate.explain.observe import private_copy

FloatArray = npt.NDArray[np.float32]


def cascade(
    net: nn.Module, images: Tensor, classes: Sequence[int], layer: str, method: str = "gradcam", seed: int = 0
) -> dict[str, Interval]:
    """Part of the network -> rank correlation of the maps once it and all parts behind it are random.

    In order from the head down; the last entry is a network that has learned nothing. The correlation is Spearman's
    between un-rectified maps of the same picture and class, the mean over pictures (N >= 2).
    """
    trained = explain(net, images, classes, [layer], method, seed).maps[layer]
    found = {}
    with private_copy(net) as twin:
        torch.manual_seed(seed)  # the copy's surroundings put the generator back
        for name, part in reversed(_parts(twin)):
            _randomise(part)
            maps = explain(twin, images, classes, [layer], method, seed).maps[layer]
            found[name] = mean_interval(rank_correlation(trained, maps))
    return found


def rank_correlation(one: FloatArray, other: FloatArray) -> npt.NDArray[np.float64]:
    """Spearman's, of each pair of maps (N, h, w) -> (N,); 0 where a map is flat, for it says nothing."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    product = (a * b).sum(axis=1)
    correlation: npt.NDArray[np.float64] = np.divide(product, norm, out=np.zeros(len(a)), where=norm > 0)
    return correlation


def _parts(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts with weights, in order; those of its only part if there is but one."""
    parts = [(name, part) for name, part in net.named_children() if next(part.parameters(), None) is not None]
    if len(parts) == 1:
        return _parts(parts[0][1])
    return parts or [(type(net).__name__, net)]


@torch.no_grad()
def _randomise(part: nn.Module) -> None:
    """Weights as before training; what cannot be reset has its values shuffled."""
    for module in part.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            for own in module.parameters(recurse=False):
                own.copy_(own.flatten()[torch.randperm(own.numel(), device=own.device)].view_as(own))
