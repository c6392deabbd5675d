"""Every random draw of a run comes from its seed through a stream named here.

A stream is a function of (seed, purpose, place) alone: drawing more from one never moves another, and nothing
else that draws random numbers (a callback, a library, another run in the same process) can disturb it.
"""

import random
from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream is for. The numbers are part of every result: never renumber, only add."""

    WEIGHTS = 0  # initial weights
    SPLIT = 1  # which training pictures become validation pictures
    ORDER = 2  # the order of the training pictures, by epoch
    AUGMENT = 3  # augmentation draws, by epoch and picture
    GLOBAL = 4  # the global generators during training (dropout, third-party layers)
    EXPLAIN = 5  # which pictures are shown
    PICTURES = 6  # generated pictures, by set


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """A NumPy generator for one place of one stream, such as `generator(seed, Stream.ORDER, epoch)`."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, *place))))


def integer(seed: int, stream: Stream, *place: int) -> int:
    """A seed in [0, 2**63) for a library that wants one integer, such as `torch.manual_seed`."""
    return int(np.random.SeedSequence((seed, stream, *place)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def python_random(seed: int, stream: Stream, *place: int) -> random.Random:
    """A `random.Random` for one place of one stream; independent of the NumPy generator of the same place."""
    return random.Random(integer(seed, stream, *place, 1 << 31))


class MovingStream:
    """One NumPy generator and one `random.Random` of one stream, moved from place to place.

    Same properties as `generator` and `python_random` with other numbers, at 4 us a place, where making the two
    anew takes 20. `numpy` is counter-based (Philox): (seed, stream) is hashed into its 128-bit key, the place is
    written into the upper half of its 256-bit counter. So no two places share a block, however much is drawn at one.
    `python` is seeded with the first 64 bits of the place. Both objects stay the same: hand them out once.
    """

    def __init__(self, seed: int, stream: Stream) -> None:
        bits = np.random.Philox(key=np.random.SeedSequence((seed, stream)).generate_state(2, np.uint64))
        self.numpy = np.random.Generator(bits)
        self.python = random.Random(0)
        self._start = bits.state

    def move_to(self, epoch: int, index: int) -> None:
        """To the beginning of a place, whatever was drawn before."""
        counter = self._start["state"]["counter"]
        counter[2], counter[3] = index, epoch
        bits = self.numpy.bit_generator
        bits.state = self._start
        self.python.seed(bits.random_raw())
