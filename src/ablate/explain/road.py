"""Do the marked pixels matter?  ROAD, remove and debias.  N pictures of H x W pixels.

Source: Rong et al. 2022, https://arxiv.org/abs/2202.00449, in pytorch-grad-cam's implementation.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ablate.explain.observe import private_copy

FloatArray = npt.NDArray[np.float32]

PERCENTILES = (20, 50, 80)


def road(net: nn.Module, images: Tensor, classes: Sequence[int], maps: FloatArray, seed: int = 0) -> FloatArray:
    """How much more of the class's probability is lost without the best pixels than without the worst, halved: (N,).

    `maps` (N, H, W): what ranks the pixels. The mean over removing 20, 50 and 80 percent of them, filled in from
    their neighbours. In [-0.5, 0.5]; about 0 for a map that knows nothing.
    """
    from pytorch_grad_cam.metrics.road import ROADCombined  # late: it costs a second or more
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    targets = [ClassifierOutputSoftmaxTarget(int(k)) for k in classes]
    with private_copy(net) as twin, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*__array_wrap__", DeprecationWarning)  # pytorch-grad-cam with NumPy 2
        torch.manual_seed(seed)  # the filled-in pixels get a little noise; the copy's surroundings put it back
        device = next(twin.parameters()).device
        scores = ROADCombined(percentiles=list(PERCENTILES))(
            images.detach().to(device, torch.float32, copy=True), ranks(maps, seed), targets, twin
        )
    return np.asarray(scores, dtype=np.float32)


def ranks(maps: FloatArray, seed: int = 0) -> FloatArray:
    """Each map's values replaced by their ranks in [0, 1), equal ones in random order.

    A rectified map is mostly zero. A threshold at a percentile of it would remove nothing, or all of those at once.
    """
    rng = np.random.default_rng(seed)
    flat = maps.reshape(len(maps), -1)
    order = np.lexsort((rng.random(flat.shape), flat), axis=1)
    rank = np.empty(flat.shape, dtype=np.float32)
    np.put_along_axis(rank, order, np.arange(flat.shape[1], dtype=np.float32)[None] / flat.shape[1], axis=1)
    return rank.reshape(maps.shape)
