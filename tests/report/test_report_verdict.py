"""Verdicts and their sentences, from values alone."""

import gc

import numpy as np
import pytest

from ablate.report.arms import Contrast
from ablate.report.metric import Metric
from ablate.report.sentence import sentence
from ablate.report.verdict import Settings, choose_pairs, compare_all, judge

ACCURACY = Settings(Metric("test/accuracy"), 0.2, 0.95)


def by_seed(values):
    return values if isinstance(values, dict) else dict(enumerate(values))


def contrast(a, b, name="nesterov=true"):
    return Contrast(name, "nesterov=false", by_seed(a), by_seed(b))


def compare(a, b, settings=ACCURACY):
    (comparison,) = compare_all([contrast(a, b)], settings)
    return comparison


BASE = np.array([91.0, 91.5, 90.8, 91.2, 91.4])


def plus(*differences):
    return BASE + np.array(differences)


def test_the_sentence_reads_as_promised():
    # mean 0.08, variance 0.03205, se 0.0801; t(0.975, 4) = 2.776, t(0.95, 4) = 2.132: 0.08 + 0.17 = 0.2507, rounded up
    comparison = compare(plus(0.30, -0.15, 0.16, -0.05, 0.14), BASE)
    assert sentence(comparison, ACCURACY) == (
        "nesterov=true - nesterov=false: +0.08 points test accuracy [95 % CI -0.14, +0.30], 5 paired seeds: "
        "inconclusive; equivalent within 0.26; to resolve 0.2 points you need about 9 seeds"
    )


def test_a_clear_gain_is_better_and_a_clear_loss_worse():
    d = np.array([0.9, 1.1, 1.0, 0.95, 1.05])
    assert compare(BASE + d, BASE).verdict == "better"
    assert compare(BASE - d, BASE).verdict == "worse"
    assert sentence(compare(BASE + d, BASE), ACCURACY).endswith("5 paired seeds: better")


def test_for_a_loss_less_is_better():
    settings = Settings(Metric("test/loss"), None, 0.95)
    comparison = compare([0.30, 0.31, 0.29], [0.40, 0.42, 0.38], settings)
    assert comparison.verdict == "better"
    assert comparison.difference == pytest.approx(-0.1)
    assert sentence(comparison, settings).startswith("nesterov=true - nesterov=false: -0.100 test loss [95 % CI -0.1")


def test_a_significant_difference_within_the_margin_is_equivalent_and_the_sentence_says_both():
    comparison = compare(plus(0.04, 0.06, 0.05, 0.045, 0.055), BASE)
    assert comparison.p < 0.05
    assert comparison.verdict == "equivalent"
    assert sentence(comparison, ACCURACY).endswith("equivalent within 0.2 points; better, but by less than the margin")


def test_without_a_margin_nothing_is_equivalent():
    settings = Settings(Metric("test/accuracy"), None, 0.95)
    assert compare(plus(0.01, -0.01, 0.02, 0, -0.02), BASE, settings).verdict == "inconclusive"
    assert compare(plus(0.04, 0.06, 0.05, 0.045, 0.055), BASE, settings).verdict == "better"


@pytest.mark.parametrize(
    ("p", "p_equivalence", "verdict"),
    [
        (0.04, 0.04, "equivalent"),
        (0.04, 0.06, "better"),
        (0.06, 0.04, "equivalent"),
        (0.06, 0.06, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_the_rule(p, p_equivalence, verdict):
    assert judge(0.1, p, p_equivalence, ACCURACY) == verdict


def test_equal_results_are_no_evidence_of_equivalence():
    comparison = compare(BASE, BASE)
    assert comparison.t is None
    assert comparison.p_sign_flip == 1
    assert comparison.verdict == "inconclusive"
    assert sentence(comparison, ACCURACY) == (
        "nesterov=true - nesterov=false: +0.00 points test accuracy [no interval], 5 paired seeds: inconclusive; "
        "every pair gave the same result: did the change reach the training?"
    )


def test_equal_differences_have_no_t_test_and_the_sign_flip_test_decides():
    few, many = (compare(np.arange(n) + 90.28, np.arange(n) + 90.0) for n in (5, 6))
    assert few.t is None
    assert few.p == 2 / 2**5
    assert few.verdict == "inconclusive"
    assert many.p == 2 / 2**6
    assert many.verdict == "better"


def test_differences_equal_but_for_float32_rounding_are_equal():
    right = np.array([200, 202, 250])
    a, b = (100 * (count / 360).astype(np.float32).astype(float) for count in (right + 1, right))
    assert np.ptp(a - b) > 0
    assert compare(a, b).t is None


def test_one_seed_gives_no_interval_and_a_way_out():
    comparison = compare([91.2], [91.0])
    assert comparison.verdict == "inconclusive"
    assert sentence(comparison, ACCURACY) == (
        "nesterov=true - nesterov=false: +0.20 points test accuracy [no interval], 1 run each: inconclusive; "
        "one run has no spread, so there is no interval; repeat with seed=0,1,2,3,4"
    )


@pytest.mark.parametrize(
    ("seeds_a", "seeds_b", "paired"),
    [
        ("01234", "01234", True),
        ("01", "01", True),
        ("01234", "012", True),  # three of five
        ("01234", "01", False),  # two of five: seven runs in two groups know more
        ("0123", "01", False),  # half, but two differences know next to nothing of their spread
        ("0123456", "012", False),
        ("0123", "4567", False),
        ("0", "0", False),  # one pair has no spread
        ("012", "2345", False),
    ],
)
def test_arms_are_paired_when_enough_of_their_seeds_are_shared(seeds_a, seeds_b, paired):
    assert choose_pairs(dict.fromkeys(seeds_a, 0.0), dict.fromkeys(seeds_b, 0.0))[0] == paired


def test_unequal_seeds_pair_what_can_be_paired_and_show_welch_over_all():
    comparison = compare([91.0, 92.0, 93.5, 91.5, 92.5], {1: 91.0, 2: 92.0, 3: 91.0})
    assert comparison.seeds == (1, 2, 3)
    assert comparison.differences == (1.0, 1.5, 0.5)
    assert (comparison.a.n, comparison.a.mean) == (3, pytest.approx((92 + 93.5 + 91.5) / 3))
    assert comparison.difference == 1.0
    assert comparison.t_welch.difference == pytest.approx((91 + 92 + 93.5 + 91.5 + 92.5) / 5 - (91 + 92 + 91) / 3)


def test_seeds_that_are_not_shared_are_compared_by_welch():
    comparison = compare({0: 91.0, 1: 92.0, 2: 91.5}, {3: 90.0, 4: 90.5, 5: 90.1, 6: 90.2})
    assert comparison.p_sign_flip is None
    assert comparison.t == comparison.t_welch
    assert "3 and 4 unpaired runs" in sentence(comparison, ACCURACY)


def test_pairing_narrows_the_interval_by_the_correlation():
    shared = np.array([-1.0, 0.5, 0.2, 1.1, -0.8])
    comparison = compare(plus(0.3, 0.25, 0.2, 0.25, 0.3) + shared, BASE + shared)
    assert comparison.correlation == pytest.approx(
        np.corrcoef(plus(0.3, 0.25, 0.2, 0.25, 0.3) + shared, BASE + shared)[0, 1]
    )
    assert comparison.correlation > 0.99
    widths = [t.high - t.low for t in (comparison.t_paired, comparison.t_welch)]
    assert widths[0] < widths[1] / 5


def test_several_comparisons_are_corrected_together():
    strong, weak = [1.0, 1.1, 0.9, 1.05, 0.95], [0.5, 0.3, 0.15, 0.6, 0.1]
    alone = compare(BASE + weak, BASE)
    assert alone.verdict == "better"
    names = ("a", "b", "c")
    shifts = (strong, weak, [0.1, -0.2, 0.3, -0.1, 0.0])
    family = compare_all(
        [contrast(BASE + d, BASE, name) for name, d in zip(names, shifts, strict=True)], ACCURACY, control=True
    )
    assert [c.verdict for c in family] == ["better", "inconclusive", "inconclusive"]
    assert family[1].p == alone.p
    assert family[1].p_holm == pytest.approx(2 * alone.p)  # the second smallest of three
    assert family[1].simultaneous[0] < 0 < family[1].t.low
    assert "(Holm over 3 comparisons); its interval alone excludes 0; equivalent within" in sentence(
        family[1], ACCURACY
    )
    assert all(0 < c.p_dunnett < 1 for c in family)


def test_a_family_of_three_without_differences_makes_a_false_claim_in_at_most_5_percent_of_sweeps(monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels collects garbage at every correction, 20 ms
    rng = np.random.default_rng(0)
    claims = 0
    settings = Settings(Metric("test/accuracy"), None, 0.95)
    for _ in range(400):
        base, *arms = 91 + 0.15 * rng.normal(size=(4, 5))
        claims += any(c.verdict != "inconclusive" for c in compare_all([contrast(a, base) for a in arms], settings))
    assert claims / 400 <= 0.07  # 5 % and twice the noise of 400 sweeps


def test_the_seeds_that_are_needed_come_with_the_error_of_the_spread():
    comparison = compare(plus(0.30, -0.15, 0.16, -0.05, 0.14), BASE)
    fewest, most = comparison.seeds_needed_range
    assert fewest < comparison.seeds_needed < most


def test_numbers_near_zero_show_on_which_side_they_lie():
    text = sentence(compare(plus(0.5, 0.3, 0.1, 0.6, 0.035), BASE), ACCURACY)
    low = text.split("CI ")[1].split(",")[0]
    assert float(low) != 0
