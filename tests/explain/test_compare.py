"""The noise floor between seeds."""

import numpy as np
import pytest

from ablate.explain.compare import Arm, noise_floor

ARMS = [Arm(variant, seed) for variant in ("a", "b") for seed in range(5)]


def maps(by_variant: float, by_seed: float = 1.0) -> list[np.ndarray]:
    """Ten runs on 20 pictures: a part that all share, one that a variant shares, and one of each run's own."""
    rng = np.random.default_rng(0)
    draw = lambda: rng.normal(size=(20, 4, 4))  # noqa: E731
    shared, variants = draw(), {"a": draw(), "b": draw()}
    return [(shared + by_variant * variants[arm.variant] + by_seed * draw()).astype(np.float32) for arm in ARMS]


def test_runs_without_noise_correlate_to_one():
    floor = noise_floor(maps(by_variant=0, by_seed=0), ARMS)
    assert (floor.seeds.mean, floor.variants.mean, floor.num_pictures, floor.num_runs) == (1, 1, 20, 10)
    assert floor.p == 1


def test_seeds_that_differ_as_much_as_variants_are_called_noise():
    floor = noise_floor(maps(by_variant=0), ARMS)
    assert floor.seeds.mean == pytest.approx(floor.variants.mean, abs=0.05)
    assert floor.p > 0.05
    assert "read no difference into the pictures" in floor.verdict


def test_variants_that_differ_more_than_seeds_are_told_apart():
    floor = noise_floor(maps(by_variant=1), ARMS)
    assert floor.seeds.mean > floor.variants.mean + 0.1
    # Of the 2^5 ways to exchange two variants within five seeds only this one and its mirror part them so well.
    assert floor.p == pytest.approx(2 / 32)


def test_a_p_value_below_five_percent_takes_six_seeds():
    arms = [Arm(variant, seed) for variant in ("a", "b") for seed in range(6)]
    rng = np.random.default_rng(0)
    variants = {"a": rng.normal(size=(20, 4, 4)), "b": rng.normal(size=(20, 4, 4))}
    different = [(variants[arm.variant] + 0.5 * rng.normal(size=(20, 4, 4))).astype(np.float32) for arm in arms]
    floor = noise_floor(different, arms)
    assert floor.p == pytest.approx(2 / 64)
    assert "differ more than seeds do (p = 0.031)" in floor.verdict


def test_one_seed_has_no_noise_floor():
    one, _, _, _, _, other, *_ = maps(by_variant=1)
    floor = noise_floor([one, other], [Arm("a", 0), Arm("b", 0)])
    assert (floor.seeds, floor.variants, floor.p) == (None, None, None)
    assert "no noise floor" in floor.verdict


def test_seeds_of_one_variant_alone_still_give_the_floor():
    floor = noise_floor(maps(by_variant=0)[:5], ARMS[:5])
    assert floor.seeds is not None
    assert (floor.variants, floor.p) == (None, None)
    assert "no two variants" in floor.verdict


def test_maps_of_different_sizes_are_compared_at_the_larger():
    small, large = np.ones((3, 2, 2), dtype=np.float32), np.ones((3, 4, 4), dtype=np.float32)
    small[:, 0, 0] = large[:, :2, :2] = 5
    floor = noise_floor([small, large], [Arm("a", 0), Arm("a", 1)])
    assert floor.seeds.mean > 0.7
