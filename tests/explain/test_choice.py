"""Which pictures are shown."""

import numpy as np
import pytest

from ablate.explain.choice import balanced_choice

LABELS = np.random.default_rng(0).integers(0, 5, 200)


@pytest.mark.parametrize("count", [1, 3, 5, 12])
def test_no_class_is_shown_twice_more_than_another(count):
    chosen = balanced_choice(LABELS, count, seed=1)
    shown = np.bincount(LABELS[chosen], minlength=5)
    assert len(set(chosen.tolist())) == count
    assert shown.max() - shown.min() <= 1
    assert (np.diff(LABELS[chosen]) >= 0).all()


def test_the_choice_is_the_seeds_alone():
    one, same, other = (balanced_choice(LABELS, 8, seed).tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_more_pictures_keep_the_ones_shown_before():
    few, many = (set(balanced_choice(LABELS, count, seed=1).tolist()) for count in (5, 12))
    assert few < many


def test_a_small_class_is_shown_whole_and_a_missing_one_not_at_all():
    labels = np.array([0, 0, 0, 0, 0, 0, 2])
    assert np.bincount(labels[balanced_choice(labels, 4, seed=0)]).tolist() == [3, 0, 1]
    assert sorted(balanced_choice(labels, 99, seed=0).tolist()) == list(range(7))
    assert balanced_choice(labels[:0], 3, seed=0).tolist() == []
