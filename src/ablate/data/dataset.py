"""Pictures by the batch: uint8, drawn from streams of their own, filled into one array."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ablate.data.sampler import Place
from ablate.data.source import Pictures
from ablate.errors import UserError
from ablate.streams import MovingStream, Stream

if TYPE_CHECKING:
    from ablate.data.augment import Pipeline

Batch = tuple[Tensor, Tensor]  # images (B, H, W, 3) uint8, labels (B,) int64


class PictureSet(Dataset[Batch]):
    """Pictures that go through a pipeline each time they are taken.

    What comes out for a place (epoch, index) is a function of (seed, epoch, index) alone: not of the batch around it,
    nor of the process that makes it, nor of what was made before. In another epoch the same picture has other draws.
    """

    def __init__(self, pictures: Pictures, pipeline: "Pipeline", seed: int) -> None:
        self._pictures, self._pipeline = pictures, pipeline
        self._stream = MovingStream(seed, Stream.AUGMENT)

    def __len__(self) -> int:
        return len(self._pictures.labels)

    def __getitem__(self, place: Place) -> Batch:
        images, labels = self.__getitems__([place])
        return images[0], labels[0]

    def __getitems__(self, places: list[Place]) -> Batch:
        images, labels = self._pictures.take([index for _, index in places])  # copies: transforms may write into them
        if len(self._pipeline):
            self._pipeline.draw_from(self._stream)
            for image, place in zip(images, places, strict=True):
                self._stream.move_to(*place)
                result = self._pipeline(image)
                if result.shape != image.shape:
                    raise UserError(self._pipeline.wrong_size(result.shape, len(image)))
                image[...] = result
        return torch.from_numpy(images), torch.from_numpy(labels)
