"""Statements about pictures, on pictures few enough to count."""

import numpy as np
import pytest
from synthetic_sweep import write_run

from ablate.report.arms import find_arms
from ablate.report.collect import collect
from ablate.report.metric import Metric
from ablate.report.pictures import compare_pictures, new_pictures_interval

LABEL = np.array([0, 1, 2, 3])


def arms(folder, said, label=LABEL):
    """said: nesterov -> one row of predictions a seed."""
    for nesterov, rows in said.items():
        for seed, row in enumerate(rows):
            place = folder / f"{nesterov}{seed}"
            write_run(place, {"optimizer.nesterov": nesterov}, seed, 0.9)
            np.savez(place / "predictions.npz", label=label, predicted=np.array(row), probability=np.ones(len(row)))
    design = find_arms(collect([folder]).runs, Metric("test/accuracy"), None, None)
    return design.arms[1], design.arms[0]


SAID = {
    True: [[0, 1, 2, 9], [0, 1, 2, 9]],  # right on 0, 1, 2 at both seeds
    False: [[0, 5, 5, 3], [0, 5, 2, 9]],  # right on 0, 3; on 0, 2
}


def test_agreement_mcnemar_and_the_most_different_pictures_counted_by_hand(tmp_path):
    found = compare_pictures(*arms(tmp_path, SAID), level=0.95)
    assert found.seeds == (0, 1)
    assert found.num_pictures == 4
    assert found.agreement == (1 + 3) / 8  # seed 0: picture 0; seed 1: pictures 0, 2, 3
    assert found.agreement_between_seeds == (4 + 2) / 8
    assert [(pair.only_a, pair.only_b) for pair in found.pairs_of_runs] == [(2, 1), (1, 0)]
    assert [pair.p for pair in found.pairs_of_runs] == [1, 1]  # binomial(3, 1/2): 2 * P(<= 1) = 1
    assert found.difference == pytest.approx(100 * (2 - 1 + 1 - 0) / 8)
    first, *rest = found.most_different
    assert (first.index, first.label, first.right_a, first.right_b, first.says_a, first.says_b) == (1, 1, 2, 0, 1, 5)
    assert [picture.index for picture in rest] == [2, 3]  # once each; picture 0 never differs


def test_mcnemars_p_is_binomial(tmp_path):
    said = {True: [np.arange(10)], False: [np.zeros(10, int)]}  # ten labels, all right against one right
    found = compare_pictures(*arms(tmp_path, said, np.arange(10)), level=0.95)
    assert (found.pairs_of_runs[0].only_a, found.pairs_of_runs[0].only_b) == (9, 0)
    assert found.pairs_of_runs[0].p == pytest.approx(2 / 2**9)
    assert found.interval is None  # one seed says nothing about new seeds


def test_pictures_that_differ_by_chance_are_counted_by_exchanging_the_names(tmp_path):
    # Two seeds that both say a; exchanged at one seed the rows cancel: nothing is apart by 2 any more.
    rows = [[0, 1, 2, 3], [0, 1, 2, 3]]
    found = compare_pictures(*arms(tmp_path, {True: rows, False: [[9, 9, 2, 3], [9, 9, 2, 3]]}), level=0.95)
    assert len(found.most_different) == found.num_as_different == 2
    assert found.num_by_chance == 0


def test_arms_that_say_the_same_differ_on_no_picture(tmp_path):
    found = compare_pictures(*arms(tmp_path, {True: SAID[True], False: SAID[True]}), level=0.95)
    assert found.agreement == 1
    assert found.most_different == ()
    assert found.interval is None
    assert found.pairs_of_runs[0].p == 1


def test_predictions_of_other_pictures_are_not_compared(tmp_path):
    a, b = arms(tmp_path, SAID)
    np.savez(tmp_path / "False0" / "predictions.npz", label=LABEL[::-1], predicted=LABEL)
    assert compare_pictures(a, b, 0.95).seeds == (1,)
    np.savez(tmp_path / "False1" / "predictions.npz", label=LABEL[:2], predicted=LABEL[:2])
    assert compare_pictures(a, b, 0.95) is None


def matrix(rng, num_seeds, num_pictures, *, seed_sd, picture_sd):
    """Differences (S, N) of right answers of two arms that are equally good: the truth is 0."""
    easiness = rng.normal(2.5, 2, num_pictures)
    taste = rng.normal(0, picture_sd, num_pictures)  # pictures that one arm is better at
    sides = [
        sign * taste / 2 + easiness + rng.normal(0, seed_sd, (num_seeds, 1))
        > rng.logistic(size=(num_seeds, num_pictures))
        for sign in (1, -1)
    ]
    return sides[0].astype(np.int8) - sides[1]


def test_the_bootstrap_agrees_with_the_two_way_clustered_standard_error():
    d = matrix(np.random.default_rng(0), 10, 2000, seed_sd=0.1, picture_sd=0.5)
    s, n = d.shape
    rows, columns = d.mean(axis=1), d.mean(axis=0)
    rest = d - rows[:, None] - columns + d.mean()
    # Cameron, Gelbach and Miller 2011: by seed, plus by picture, minus the overlap
    variance = rows.var(ddof=1) / s + columns.var(ddof=1) / n - (rest**2).sum() / ((s - 1) * (n - 1)) / (s * n)
    low, high = new_pictures_interval(d, 0.95)
    assert (low + high) / 2 == pytest.approx(100 * d.mean())
    df = variance**2 / ((rows.var(ddof=1) / s) ** 2 / (s - 1))
    assert df > 9
    assert (high - low) / 2 / 100 == pytest.approx(2.1 * variance**0.5, rel=0.12)  # t is 2.0 to 2.26 here


@pytest.mark.parametrize(("seed_sd", "picture_sd"), [(0.0, 0.0), (0.02, 1.0), (0.2, 0.1)])
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_the_interval_for_new_pictures_covers_the_truth(num_seeds, seed_sd, picture_sd):
    rng = np.random.default_rng(1)
    hits = 0
    for i in range(150):
        low, high = new_pictures_interval(matrix(rng, num_seeds, 500, seed_sd=seed_sd, picture_sd=picture_sd), 0.95, i)
        hits += low <= 0 <= high
    assert hits / 150 >= 0.9  # 95 % and twice the noise of 150; percentiles of the bootstrap give about 80 %
