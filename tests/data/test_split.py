import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.data.split import proportional, stratified_split
from ablate.errors import UserError


def test_largest_remainders_worked_by_hand():
    # 10 of 3 + 3 + 14: shares 1.5, 1.5, 7.0; one is left over, and of equal remainders the first class gets it.
    assert proportional(np.array([3, 3, 14]), 10).tolist() == [2, 1, 7]
    # A tenth of CIFAR's 50,000 is exactly 500 of each class.
    assert proportional(np.full(10, 5000), 5000).tolist() == [500] * 10


@given(st.lists(st.integers(2, 400), min_size=2, max_size=12), st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_shares_add_up_and_none_is_a_whole_picture_off(sizes, fraction):
    total = round(fraction * sum(sizes))
    counts = proportional(np.array(sizes), total)
    assert counts.sum() == total
    assert np.abs(counts - np.array(sizes) * total / sum(sizes)).max() < 1


def test_the_two_parts_hold_every_picture_once_and_the_classes_in_proportion():
    labels = np.repeat([0, 1, 2], [60, 30, 10])[np.random.default_rng(0).permutation(100)]
    train, val = stratified_split(labels, 0.2, seed=0)
    assert sorted([*train, *val]) == list(range(100))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(val) > 0)
    assert np.bincount(labels[val]).tolist() == [12, 6, 2]
    assert len(val) == 20


def test_the_split_depends_on_the_seed_alone():
    labels = np.arange(200) % 4
    splits = [tuple(stratified_split(labels, 0.25, seed=seed)[1]) for seed in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len(set(splits)) == 3


def test_every_picture_of_a_class_is_as_likely_to_be_drawn():
    labels = np.repeat([0, 1], [20, 30])
    times = np.zeros(50)
    for seed in range(400):
        times[stratified_split(labels, 0.3, seed)[1]] += 1
    assert np.abs(times / 400 - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 400)


@pytest.mark.parametrize(
    ("sizes", "fraction", "message"),
    [
        ([40, 4], 0.1, r"data\.val_fraction=0\.1 takes 0 of the 4 training pictures of class cat\n.*\n.*=0\.25$"),
        ([40, 1], 0.1, r"takes 0 of the 1 training pictures of class cat\n.*\n.*more pictures of class cat"),
        ([40, 2], 0.9, r"takes 2 of the 2 training pictures of class cat"),
        ([40, 40], 0.0, r"data\.val_fraction=0\n    allowed: a number between 0 and 1"),
        ([40, 40], 1.0, r"data\.val_fraction=1\n"),
    ],
)
def test_a_class_that_would_be_missing_on_one_side_is_named(sizes, fraction, message):
    with pytest.raises(UserError, match=message):
        stratified_split(np.repeat([0, 1], sizes), fraction, seed=0, classes=("dog", "cat"))


def test_all_such_classes_are_named_together():
    with pytest.raises(UserError, match="2 errors") as caught:
        stratified_split(np.repeat([0, 1, 2], [40, 3, 3]), 0.1, seed=0)
    assert "number 1" in str(caught.value)
    assert "number 2" in str(caught.value)


def test_the_advice_in_the_message_helps():
    labels = np.repeat([0, 1], [40, 4])
    train, val = stratified_split(labels, 0.25, seed=0)
    assert set(labels[val]) == set(labels[train]) == {0, 1}
