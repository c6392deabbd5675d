import pickle
import random

import numpy as np
import pytest

from ablate.streams import MovingStream, Stream, generator, integer, python_random


def draws(stream: MovingStream, epoch: int, index: int) -> list[float]:
    stream.move_to(epoch, index)
    return [*stream.numpy.random(3), *stream.numpy.integers(0, 7, 3), *(stream.python.random() for _ in range(3))]


def test_the_numbers_of_the_streams_are_part_of_every_result():
    names = ["WEIGHTS", "SPLIT", "ORDER", "AUGMENT", "GLOBAL", "EXPLAIN", "PICTURES"]
    assert [(stream.name, stream.value) for stream in Stream][:7] == list(zip(names, range(7), strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda *key: generator(*key).random(),
        lambda *key: python_random(*key).random(),
        integer,
        lambda seed, stream, epoch, index: tuple(draws(MovingStream(seed, stream), epoch, index)),
    ],
    ids=["generator", "python_random", "integer", "MovingStream"],
)
def test_a_stream_is_a_function_of_seed_purpose_and_place(make):
    keys = [(0, Stream.SPLIT, 0, 0), (1, Stream.SPLIT, 0, 0), (0, Stream.ORDER, 0, 0), (0, Stream.SPLIT, 1, 0)]
    keys += [(0, Stream.SPLIT, 0, 1), (0, Stream.SPLIT, 2**40, 2**40)]
    assert [make(*key) for key in keys] == [make(*key) for key in keys]
    assert len({make(*key) for key in keys}) == len(keys)


def test_a_place_gives_the_same_draws_whatever_was_drawn_before():
    stream = MovingStream(3, Stream.AUGMENT)
    before = draws(stream, 5, 7)
    stream.move_to(5, 8)
    stream.numpy.integers(0, 9, dtype=np.int32)  # leaves half of a 64-bit number in the buffer
    stream.python.gauss(0, 1)  # leaves the second of a pair
    assert draws(stream, 5, 7) == before
    assert draws(pickle.loads(pickle.dumps(stream)), 5, 7) == before
    stream.move_to(5, 7)
    first = stream.python.gauss(0, 1)
    stream.move_to(5, 7)
    assert stream.python.gauss(0, 1) == first


def test_a_place_is_a_counter_of_philox():
    # An independent reference: NumPy's own way of placing a counter. The place is the upper half of 256 bits.
    stream = MovingStream(11, Stream.AUGMENT)
    stream.move_to(epoch=2, index=6)
    key = np.random.SeedSequence((11, Stream.AUGMENT)).generate_state(2, np.uint64)
    reference = np.random.Philox(key=key, counter=(6 << 128) + (2 << 192))
    assert random.Random(reference.random_raw()).random() == stream.python.random()
    assert np.array_equal(np.random.Generator(reference).random(100), stream.numpy.random(100))


def test_draws_at_neighbouring_places_are_uniform_and_uncorrelated():
    stream, count = MovingStream(0, Stream.AUGMENT), 4000
    table = np.empty((count, 4))  # two draws of each generator
    for index in range(count):
        stream.move_to(0, index)
        table[index] = [*stream.numpy.random(2), stream.python.random(), stream.python.random()]
    columns = np.column_stack([table[:-1], table[1:]])
    correlations = np.corrcoef(columns, rowvar=False) - np.eye(8)
    assert np.abs(correlations).max() < 5 / np.sqrt(count)
    assert np.abs(table.mean(0) - 0.5).max() < 5 * np.sqrt(1 / 12 / count)
    assert np.abs(table.var(0) - 1 / 12).max() < 0.01


def test_the_global_generators_stay_where_they_are():
    random.seed(0)
    np.random.seed(0)
    expected = random.random(), np.random.random()
    random.seed(0)
    np.random.seed(0)
    draws(MovingStream(0, Stream.AUGMENT), 0, 0)
    generator(0, Stream.ORDER, 1).random()
    assert (random.random(), np.random.random()) == expected
