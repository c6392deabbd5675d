"""Real handwritten digits that lie inside an installed dependency: no download, no network."""

import importlib.util
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ablate.data.source import Index, Labels, Pictures, Pixels
from ablate.data.split import proportional

NUM_TEST = 360


class Digits:
    """The 1,797 digits of scikit-learn's `load_digits`, 8 x 8 in 17 grey levels, upscaled and in RGB.

    1,437 train, 360 test. The test set is a fixed part of each class, evenly spaced over the file, so that writers
    (who follow one another in it) are on both sides: a run's accuracy says nothing of new writers.

    Source: Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49, the file `optdigits.tes`.
    """

    classes = tuple("0123456789")

    def __init__(self, image_size: int = 32) -> None:
        self.image_size = image_size

    def train(self) -> Pictures:
        return self._take(~self._in_test)

    def test(self) -> Pictures:
        return self._take(self._in_test)

    def _take(self, chosen: np.ndarray) -> Pictures:
        grey, labels = self._file
        pixels = np.stack([_enlarged(digit, self.image_size) for digit in grey[chosen]])
        return Pictures(pixels, labels[chosen])

    @cached_property
    def _file(self) -> tuple[Pixels, Labels]:
        """(1797, 8, 8) in 0 .. 255, and the labels."""
        table = _published()
        return np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), table[:, -1].astype(np.int64)

    @cached_property
    def _in_test(self) -> np.ndarray:
        labels = self._file[1]
        chosen = np.zeros(len(labels), bool)
        for label, count in enumerate(proportional(np.bincount(labels), NUM_TEST)):
            of_class = np.flatnonzero(labels == label)
            chosen[of_class[_evenly_spaced(len(of_class), int(count))]] = True
        return chosen


def _published() -> np.ndarray:
    """(1797, 65): the levels, 0 .. 16, and the label. Read without scikit-learn, whose import takes two seconds."""
    package = importlib.util.find_spec("sklearn")  # finds, does not import
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    return np.column_stack([levels, labels])


def _evenly_spaced(size: int, count: int) -> Index:
    """`count` positions out of `size`: the middles of as many equal stretches."""
    return (2 * np.arange(count) + 1) * size // (2 * count)


def _enlarged(grey: Pixels, image_size: int) -> Pixels:
    large = Image.fromarray(grey).resize((image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(large.convert("RGB"))
