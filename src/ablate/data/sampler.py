"""Which training pictures make up which batch: a pure function of (seed, epoch)."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from ablate.streams import Stream, generator

Place = tuple[int, int]  # (epoch, index of a training picture): all that an augmentation draw may depend on


class EpochBatchSampler(Sampler[list[Place]]):
    """Batches of (epoch, index), shuffled anew in every epoch, each training picture once an epoch.

    `batch_size` counts the pictures of one step over all ranks. Each batch is cut into one run of neighbours for each
    rank: together the ranks see exactly the batches of a single process, and ghosts of neighbours are the same ones if
    they divide a rank's share. Shares differ by one picture at most, and the first ranks have the larger ones. The
    last, ragged batch is kept unless it leaves a rank with one picture or none: one has no variance to normalise by.

    The epoch is read with the first batch of an iteration, not before: torch's loader asks for iterators it never uses.
    """

    def __init__(self, num_pictures: int, batch_size: int, seed: int, *, rank: int = 0, num_ranks: int = 1) -> None:
        assert 0 <= rank < num_ranks, "ranks count from 0"
        assert 2 * num_ranks <= batch_size <= num_pictures, "every rank has two pictures or more in a full batch"
        self.num_pictures, self.batch_size, self.seed = num_pictures, batch_size, seed
        self.rank, self.num_ranks = rank, num_ranks
        self.epoch = 0  # of the next iteration
        self._skip = (0, 0)

    @property
    def sampler(self) -> "EpochBatchSampler":
        """Itself: Lightning looks for `set_epoch` on `loader.batch_sampler.sampler`."""
        return self

    @property
    def first_batch(self) -> int:
        """Number of the batch, from 0, that the next iteration begins with."""
        epoch, num_batches = self._skip
        return num_batches if epoch == self.epoch else 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip(self, epoch: int, num_batches: int) -> None:
        """If the next iteration is of `epoch`, leave out its first `num_batches`; `len` stays that of a whole epoch."""
        self._skip = (epoch, num_batches)

    def num_in(self, number: int) -> int:
        """Pictures of batch `number`, from 0, over all ranks."""
        return min(self.batch_size, self.num_pictures - number * self.batch_size)

    def __len__(self) -> int:
        full, rest = divmod(self.num_pictures, self.batch_size)
        return full + (rest >= 2 * self.num_ranks)

    def __iter__(self) -> Iterator[list[Place]]:
        epoch, first = self.epoch, self.first_batch
        self._skip = (0, 0)
        order = generator(self.seed, Stream.ORDER, epoch).permutation(self.num_pictures)
        for start in range(first * self.batch_size, len(self) * self.batch_size, self.batch_size):
            shard = np.array_split(order[start : start + self.batch_size], self.num_ranks)[self.rank]
            yield [(epoch, index) for index in shard.tolist()]


class OrderedBatchSampler(Sampler[list[Place]]):
    """All pictures once, in order, for validation and test; the last batch may be ragged. Every rank gets them all."""

    def __init__(self, num_pictures: int, batch_size: int) -> None:
        self.num_pictures, self.batch_size = num_pictures, batch_size

    def __len__(self) -> int:
        return -(-self.num_pictures // self.batch_size)

    def __iter__(self) -> Iterator[list[Place]]:
        for start in range(0, self.num_pictures, self.batch_size):
            yield [(0, index) for index in range(start, min(start + self.batch_size, self.num_pictures))]
