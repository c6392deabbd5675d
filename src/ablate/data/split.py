"""The validation split: a part of the training pictures, with the classes in the same proportions."""

import math
from collections.abc import Sequence

import numpy as np

from ablate.data.source import Index, Labels
from ablate.errors import Problem, UserError
from ablate.streams import Stream, generator


def stratified_split(
    labels: Labels, fraction: float, seed: int, classes: Sequence[str] | None = None
) -> tuple[Index, Index]:
    """(train index, validation index), each sorted, together every position of `labels` (N,) once.

    The validation set holds round(fraction * N) pictures, drawn within each class by the seed's own stream.
    `classes` are the names for messages. Raises `UserError` where a class would be missing on one side.
    """
    if not 0 < fraction < 1:
        raise UserError.of(
            f"data.val_fraction={fraction:g}", "a number between 0 and 1, both excluded", "data.val_fraction=0.1"
        )
    present, sizes = np.unique(labels, return_counts=True)
    counts = proportional(sizes, round(fraction * len(labels)))
    names = [classes[label] if classes is not None else f"number {label}" for label in present.tolist()]
    UserError.raise_all(_one_sided(names, sizes.tolist(), counts.tolist(), fraction))
    draw = generator(seed, Stream.SPLIT)
    chosen = [
        draw.permutation(np.flatnonzero(labels == label))[:count] for label, count in zip(present, counts, strict=True)
    ]
    val_index = np.sort(np.concatenate(chosen))
    train_index = np.setdiff1d(np.arange(len(labels)), val_index, assume_unique=True)
    return train_index, val_index


def proportional(sizes: Index, total: int) -> Index:
    """Whole numbers that add up to `total`, as near as can be to the proportions of `sizes`.

    Largest remainder (Hamilton's method); of equal remainders the earlier wins. Exact: no floating point.
    """
    counts, remainders = np.divmod(sizes * total, sizes.sum())
    most_cut_off = np.argsort(-remainders, kind="stable")[: total - counts.sum()]
    counts[most_cut_off] += 1
    return counts


def _one_sided(names: list[str], sizes: list[int], counts: list[int], fraction: float) -> list[Problem]:
    return [
        Problem(
            f"data.val_fraction={fraction:g} takes {count} of the {size} training pictures of class {name}",
            "at least one picture of every class in training and in validation",
            f"data.val_fraction={math.ceil(100 / size) / 100:g}" if size > 1 else f"more pictures of class {name}",
        )
        for name, size, count in zip(names, sizes, counts, strict=True)
        if not 0 < count < size
    ]
