"""Do the maps point at what is there?  N pictures, M mosaics, h x w cells of a layer."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.explain.maps import explain

FloatArray = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

QUADRANTS = 4


def grid_pointing(
    net: nn.Module, mosaics: Tensor, classes: Index, layer: str, method: str = "gradcam", seed: int = 0
) -> FloatArray:
    """Part of the positive evidence for a class that lies in its own quarter of the mosaic: (M,), 0.25 by chance.

    `mosaics` (M, 3, 2H, 2W) and `classes` (M, 4) as from `mosaics_of`; the mean over the four classes of each. A map
    without positive evidence counts as chance. Source: Boehle et al. 2021, https://arxiv.org/abs/2104.00032, section
    4.2, with 2 x 2 pictures for 3 x 3.
    """
    repeated = mosaics.repeat_interleave(QUADRANTS, dim=0)
    maps = explain(net, repeated, classes.reshape(-1).tolist(), [layer], method, seed).maps[layer]
    parts = np.array([_part_in_quadrant(one, i % QUADRANTS) for i, one in enumerate(maps)], dtype=np.float32)
    means: FloatArray = parts.reshape(-1, QUADRANTS).mean(axis=1)
    return means


def mosaics_of(images: Tensor, labels: Index, rng: np.random.Generator) -> tuple[Tensor, Index]:
    """As many 2 x 2 mosaics of four different classes as `images` (N, 3, H, W) give, none of which is used twice.

    (M, 3, 2H, 2W), and their classes (M, 4), row by row. The images should be ones that the network gets right.
    """
    left = {int(k): list(rng.permutation(np.flatnonzero(labels == k))) for k in np.unique(labels)}
    chosen: list[list[int]] = []
    while True:
        # The classes with the most pictures left go first, so that few are left over.
        order = sorted(rng.permutation(list(left)).tolist(), key=lambda k: -len(left[k]))[:QUADRANTS]
        if len(order) < QUADRANTS or not left[order[-1]]:
            break
        chosen.append([int(left[k].pop()) for k in rng.permutation(order)])
    index = np.array(chosen, dtype=np.int64).reshape(-1, QUADRANTS)
    four = images[torch.from_numpy(index).to(images.device)]  # (M, 4, 3, H, W)
    rows = [torch.cat([four[:, i], four[:, i + 1]], dim=3) for i in (0, 2)]
    return torch.cat(rows, dim=2), labels[index]


def points_inside(maps: FloatArray, boxes: Index, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Whether each map's maximum, enlarged to the picture's (height, width), lies in its box: (N,).

    boxes (N, 4): x0, y0, x1, y1 in pixels, the ends excluded. Zhang et al. 2016, https://arxiv.org/abs/1608.00507.
    """
    flat = upsampled(maps, size).reshape(len(maps), -1).argmax(axis=1)
    y, x = np.divmod(flat, size[1])
    x0, y0, x1, y1 = boxes.T
    inside: npt.NDArray[np.bool_] = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return inside


def upsampled(maps: FloatArray, size: tuple[int, int]) -> FloatArray:
    """(N, h, w) -> (N, height, width), bilinearly."""
    given = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    large: FloatArray = F.interpolate(given, size=size, mode="bilinear", align_corners=False)[:, 0].numpy()
    return large


def _part_in_quadrant(signed: FloatArray, quadrant: int) -> float:
    # Four to a cell, so that a seam through the middle of cells halves what they hold.
    positive = np.maximum(signed, 0).repeat(2, axis=0).repeat(2, axis=1)
    h, w = signed.shape
    row, column = divmod(quadrant, 2)
    own = positive[row * h : (row + 1) * h, column * w : (column + 1) * w]
    total = float(positive.sum())
    return float(own.sum()) / total if total > 0 else 1 / QUADRANTS
