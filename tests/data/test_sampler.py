import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ablate.data.sampler import EpochBatchSampler, OrderedBatchSampler


def batches(*args, epoch=0, **kwargs):
    sampler = EpochBatchSampler(*args, **kwargs)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize(
    ("num_pictures", "batch_size", "sizes"),
    [(12, 4, [4, 4, 4]), (14, 4, [4, 4, 4, 2]), (13, 4, [4, 4, 4]), (4, 4, [4]), (5, 4, [4]), (7, 4, [4, 3])],
)
def test_a_last_batch_of_one_picture_is_dropped_and_any_other_kept(num_pictures, batch_size, sizes):
    found = batches(num_pictures, batch_size, seed=0)
    assert [len(batch) for batch in found] == sizes
    assert len(EpochBatchSampler(num_pictures, batch_size, seed=0)) == len(sizes)
    indices = [index for batch in found for _, index in batch]
    assert len(set(indices)) == len(indices) == sum(sizes)


def test_every_picture_comes_once_an_epoch_with_the_number_of_the_epoch():
    found = [place for batch in batches(50, 8, seed=0, epoch=3) for place in batch]
    assert sorted(found) == [(3, index) for index in range(50)]


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {
        (seed, epoch): tuple(index for batch in batches(64, 8, seed=seed, epoch=epoch) for _, index in batch)
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    assert len(set(orders.values())) == 6
    torch.manual_seed(5)
    np.random.seed(5)
    assert tuple(index for batch in batches(64, 8, seed=1, epoch=2) for _, index in batch) == orders[1, 2]


def test_a_picture_is_as_likely_in_every_place():
    places = np.array([[index for batch in batches(10, 5, seed=0, epoch=e) for _, index in batch] for e in range(600)])
    shares = np.array([np.bincount(column, minlength=10) for column in places.T]) / 600
    assert np.abs(shares - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 600)


@pytest.mark.parametrize("num_ranks", [2, 3, 4])
@pytest.mark.parametrize("num_pictures", [96, 101, 104, 89])
def test_the_ranks_together_see_the_batches_of_one_process(num_pictures, num_ranks):
    whole = batches(num_pictures, 16, seed=0)
    shards = [batches(num_pictures, 16, seed=0, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    assert len({len(shard) for shard in shards}) == 1, "a rank with fewer batches would keep the others waiting"
    for number, parts in enumerate(zip(*shards, strict=True)):
        assert sorted(place for part in parts for place in part) == sorted(whole[number])
        assert min(map(len, parts)) >= 2
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    dropped = whole[len(shards[0]) :]
    assert all(len(batch) < 2 * num_ranks for batch in dropped)


def test_a_skip_leaves_out_the_first_batches_of_its_epoch_once():
    whole, sampler = batches(50, 8, seed=0, epoch=2), EpochBatchSampler(50, 8, seed=0)
    sampler.set_epoch(2)
    sampler.skip(2, 3)
    assert len(sampler) == 7
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole


def test_a_skip_says_nothing_of_other_epochs():
    sampler = EpochBatchSampler(50, 8, seed=0)
    sampler.skip(2, 3)
    sampler.set_epoch(3)
    assert list(sampler) == batches(50, 8, seed=0, epoch=3)


def test_lightning_finds_the_epoch_setter():
    from lightning_fabric.utilities.data import _set_sampler_epoch

    sampler = EpochBatchSampler(50, 8, seed=0)
    _set_sampler_epoch(DataLoader(range(50), batch_sampler=sampler), 4)
    assert sampler.epoch == 4


def test_an_iterator_that_is_never_used_changes_nothing():
    sampler = EpochBatchSampler(50, 8, seed=0)
    sampler.skip(0, 2)
    iter(sampler)
    assert len(list(sampler)) == 5


def test_in_order_means_all_pictures_in_order():
    assert list(OrderedBatchSampler(5, 2)) == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)]]
    assert [len(OrderedBatchSampler(n, 2)) for n in (1, 2, 3, 4)] == [1, 1, 2, 2]
