"""Where labelled pictures come from. A source knows pixels and labels; it knows nothing of splits or augmentation."""

import hashlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Index = NDArray[np.int64]


class Pictures(NamedTuple):
    pixels: Pixels  # (N, H, W, 3) RGB
    labels: Labels  # (N,) 0 .. num_classes - 1

    def take(self, index: Index | list[int] | slice) -> "Pictures":
        return Pictures(self.pixels[index], self.labels[index])


class Source(Protocol):
    """Labelled pictures in two sets that share no picture.

    Each set is read when it is asked for. `test()` is for the end of a run: nothing may be chosen by what it returns.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def image_size(self) -> int: ...

    def train(self) -> Pictures: ...

    def test(self) -> Pictures: ...


def checksum(pictures: Pictures) -> str:
    """SHA-256 over shapes, pixels and labels: equal for equal pictures in equal order, on any machine."""
    digest = hashlib.sha256()
    arrays: tuple[NDArray[Any], ...] = (pictures.pixels, pictures.labels.astype("<i8"))
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
