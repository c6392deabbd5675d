"""Generated pictures whose evidence is known: for testing maps that claim to show what a network looks at."""

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablate.data.source import Index, Labels, Pictures, Pixels
from ablate.errors import UserError
from ablate.streams import Stream, generator

Mask = NDArray[np.bool_]
Split = Literal["train", "test"]
MIN_IMAGE_SIZE = 16


class Shapes:
    """One shape a picture, which alone decides the class, somewhere on a coloured, noisy ground among decoys.

    Everything else is drawn without looking at the class: colours, place and size of the shape, the ground, and the
    decoys (bars and dots, never over the shape's box). So the class can be told from inside the box and not from
    outside of it. The classes are equally frequent, to within one picture. The same `seed` gives the same pictures.
    """

    classes = ("disc", "square", "triangle", "cross")

    def __init__(self, num_train: int, num_test: int, image_size: int = 32, seed: int = 0) -> None:
        if image_size < MIN_IMAGE_SIZE:
            raise UserError.of(
                f"data.image_size={image_size}", f"at least {MIN_IMAGE_SIZE} for data=shapes", "data.image_size=32"
            )
        self.num_train, self.num_test, self.image_size, self.seed = num_train, num_test, image_size, seed

    def train(self) -> Pictures:
        return self._train[0]

    def test(self) -> Pictures:
        return self._test[0]

    def boxes(self, split: Split) -> Index:
        """(N, 4): x0, y0, x1, y1 of the smallest box around each shape, in pixels, x1 and y1 excluded."""
        return {"train": self._train, "test": self._test}[split][1]

    @cached_property
    def _train(self) -> tuple[Pictures, Index]:
        return self._draw(0, self.num_train)

    @cached_property
    def _test(self) -> tuple[Pictures, Index]:
        return self._draw(1, self.num_test)

    def _draw(self, place: int, count: int) -> tuple[Pictures, Index]:
        draw = generator(self.seed, Stream.PICTURES, place)
        labels = draw.permutation(np.arange(count) % len(self.classes))
        return draw_pictures(labels, self.image_size, draw)


def draw_pictures(labels: Labels, image_size: int, draw: np.random.Generator) -> tuple[Pictures, Index]:
    """Pictures of `labels` (N,) and the boxes (N, 4). What is drawn outside the boxes does not depend on `labels`."""
    drawn = [_draw_one(int(label), image_size, draw) for label in labels]
    boxes = np.array([box for _, box in drawn], dtype=np.int64).reshape(-1, 4)
    pixels = np.array([picture for picture, _ in drawn], dtype=np.uint8).reshape(-1, image_size, image_size, 3)
    return Pictures(pixels, labels.astype(np.int64)), boxes


def _draw_one(label: int, image_size: int, draw: np.random.Generator) -> tuple[Pixels, tuple[int, int, int, int]]:
    side = int(draw.integers(image_size // 4, image_size // 2, endpoint=True))
    x, y = (int(corner) for corner in draw.integers(0, image_size - side, size=2, endpoint=True))
    picture = _ground(image_size, draw)
    box = np.s_[y : y + side, x : x + side]
    kept = picture[box].copy()
    for _ in range(6):
        _add_decoy(picture, draw)
    picture[box] = kept
    picture[box][shape_mask(label, side)] = _dark_or_light(draw)
    noisy = picture + draw.normal(0, 8, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8), (x, y, x + side, y + side)


def _ground(image_size: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """A patchwork of 4 x 4 mid-tone colours."""
    patches = draw.uniform(70, 185, size=(4, 4, 3))
    row = np.arange(image_size) * 4 // image_size
    return patches[row][:, row]


def _add_decoy(picture: NDArray[np.float64], draw: np.random.Generator) -> None:
    """A lying bar, a standing bar or a dot, of any colour, anywhere."""
    thin, long = len(picture) // 16, len(picture) // 4
    height, width = ((thin, long), (long, thin), (thin, thin))[draw.integers(3)]
    y, x = draw.integers(0, len(picture) - height + 1), draw.integers(0, len(picture) - width + 1)
    picture[y : y + height, x : x + width] = draw.uniform(0, 255, size=3)


def _dark_or_light(draw: np.random.Generator) -> NDArray[np.float64]:
    """A colour that stands out from the ground in every channel."""
    low, high = ((0, 40), (215, 255))[draw.integers(2)]
    return draw.uniform(low, high, size=3)


def shape_mask(label: int, side: int) -> Mask:
    """(side, side), touching all four sides of its box."""
    y, x = np.mgrid[:side, :side] * 2 - (side - 1)  # twice the distance from the middle, so whole numbers
    if label == 0:
        return np.asarray(x * x + y * y <= side * side)
    if label == 1:
        return np.ones((side, side), bool)
    if label == 2:
        return np.asarray(2 * abs(x) <= y + side + 1)
    return np.asarray(np.minimum(abs(x), abs(y)) * 3 <= side)
