"""The mathematics of the report: numbers worked by hand, other implementations, and simulated sweeps."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from ablate.report import statistics
from ablate.report.metric import Metric
from ablate.report.verdict import Settings, judge


def array(*values):
    return np.array(values, dtype=float)


def test_the_paired_interval_and_p_worked_by_hand():
    # d = 1, 2, 3: mean 2, sd 1, se 1/sqrt 3; t(0.975, 2) = 4.302653; with 2 degrees of freedom p = 1 - t/sqrt(t^2 + 2)
    t = statistics.t_test(array(11, 22, 33), array(10, 20, 30), paired=True, level=0.95)
    half = 4.302653 / math.sqrt(3)
    assert (t.difference, t.low, t.high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-6)
    assert t.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert t.df == 2


def test_welchs_interval_worked_by_hand_and_by_scipy():
    a, b = array(1, 2, 3), array(2, 4, 6, 8)
    t = statistics.t_test(a, b, paired=False, level=0.9)
    # variances of the means: 1/3 and 5/3, so the squared error is 2 and df = 4 / ((1/3)^2/2 + (5/3)^2/3)
    assert t.difference == -3
    assert t.df == pytest.approx(4 / (1 / 18 + 25 / 27))
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert (t.low, t.high) == pytest.approx(tuple(reference.confidence_interval(0.9)))
    assert t.p == pytest.approx(reference.pvalue)


def test_an_arm_whose_runs_are_all_equal_still_compares_by_the_others_spread():
    t = statistics.t_test(array(1, 2, 3), array(5, 5, 5, 5), paired=False, level=0.95)
    half = 4.302653 / math.sqrt(3)
    assert (t.low, t.high, t.df) == pytest.approx((-3 - half, -3 + half, 2), abs=1e-6)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ((1, 2, 3), 2 / 8),  # only +++ and --- are as far out
        ((3, -1), 1),  # every pattern is
        ((4, 3, -1), 4 / 8),  # sums 8, 6, 2, 0 with both signs: 6 or more in four of eight
        ((1, 1, 1, 1, 1), 2 / 32),
        ((0, 0, 0), 1),
    ],
)
def test_sign_flip_p_counted_by_hand(differences, p):
    assert statistics.sign_flip_p(array(*differences), scale=1) == p


def test_sign_flip_p_is_scipys_permutation_test_where_there_are_no_ties():
    for n in (4, 9, 13):
        d = np.random.default_rng(n).normal(0.5, 1, n)
        reference = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert statistics.sign_flip_p(d, scale=1) == pytest.approx(reference.pvalue)


def test_float32_noise_does_not_break_the_ties_of_the_sign_flip_test():
    counts = np.array([[331, 330, 335, 340], [330, 331, 334, 339]])  # of 360 pictures right: d = 1, -1, 1, 1
    a, b = 100 * (counts / 360).astype(np.float32).astype(float)
    # the sum of four signs is 4, 2, 0, -2 or -4, in 1, 4, 6, 4, 1 of 16 cases: at least 2 away in 10
    assert statistics.sign_flip_p(a - b, scale=100) == 10 / 16


def test_many_seeds_sample_the_signs_and_never_give_zero():
    p = statistics.sign_flip_p(np.full(30, 1.0), scale=1)
    assert 0 < p == statistics.sign_flip_floor(30) < 1e-3
    even = np.array([1.0, -1.0] * 15)
    assert statistics.sign_flip_p(even, scale=1) == 1


def test_five_seeds_never_show_a_sign_flip_p_below_0_05_and_six_can():
    assert statistics.sign_flip_floor(5) == 0.0625
    assert statistics.sign_flip_floor(6) == 0.03125


def test_two_one_sided_tests_worked_by_hand():
    # d = 1, 2, 3, margin 5: t = (2 - 5) sqrt 3; one-sided p with 2 degrees of freedom (1 - t/sqrt(t^2 + 2)) / 2
    p = statistics.equivalence_p(array(1, 2, 3), array(0, 0, 0), 5, paired=True)
    assert p == pytest.approx((1 - math.sqrt(27 / 29)) / 2)


@pytest.mark.parametrize("paired", [True, False])
def test_equivalence_holds_exactly_when_the_90_percent_interval_lies_within_the_margin(paired):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, 7), rng.normal(0, 1, 7)
    result = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    edge = max(map(abs, result.confidence_interval(0.9)))
    assert statistics.equivalence_p(a, b, edge * 1.001, paired=paired) < 0.05
    assert statistics.equivalence_p(a, b, edge * 0.999, paired=paired) > 0.05


def test_superiority_is_clopper_and_pearsons_interval():
    share = statistics.paired_superiority(array(1, 2, 3, 4, 5), 1, 0.95)
    assert share == pytest.approx((1, 0.025 ** (1 / 5), 1))  # five of five: the lower bound p solves p^5 = 0.025
    share = statistics.paired_superiority(array(1, 2, -3, 4, -5), 1, 0.95)
    assert share[1:] == pytest.approx(proportion_confint(3, 5, 0.05, method="beta"))


def test_ties_count_half_and_widen_the_interval_to_both_sides():
    share = statistics.paired_superiority(array(1, 0, 0, -1), 1, 0.95)
    assert share.value == 0.5
    assert share.low == pytest.approx(proportion_confint(1, 4, 0.05, method="beta")[0])
    assert share.high == pytest.approx(proportion_confint(3, 4, 0.05, method="beta")[1])


def test_unpaired_superiority_counts_every_meeting():
    share = statistics.unpaired_superiority(array(1, 4), array(0, 2, 3), 1, 0.95)  # 1 beats 0; 4 beats all: 4 of 6
    assert share.value == pytest.approx(4 / 6)
    assert statistics.unpaired_superiority(array(1, 4), array(0, 1, 3), 1, 0.95).value == pytest.approx(4.5 / 6)


def test_the_interval_of_unpaired_superiority_covers_the_truth():
    rng, truth = np.random.default_rng(3), stats.norm.cdf(0.8 / math.sqrt(2))
    shares = [statistics.unpaired_superiority(rng.normal(0.8, 1, 5), rng.normal(0, 1, 4), 1, 0.95) for _ in range(1000)]
    assert np.mean([share.low <= truth <= share.high for share in shares]) >= 0.95


@pytest.mark.parametrize(
    ("n", "unpaired", "paired"), [(3, 0.46, 0.69), (5, 0.30, 0.36), (10, 0.20, 0.21), (20, 0.136, 0.140)]
)
def test_detectable_differences_at_sigma_0_15_are_the_known_ones(n, unpaired, paired):
    assert statistics.detectable(0.15, n, paired=False, level=0.95) == pytest.approx(unpaired, abs=0.005)
    of_differences = 0.15 * math.sqrt(2)  # uncorrelated pairs
    assert statistics.detectable(of_differences, n, paired=True, level=0.95) == pytest.approx(paired, abs=0.005)


def test_a_tenth_of_a_point_at_sigma_0_15_needs_37_seeds_an_arm():
    assert statistics.seeds_needed(0.15, 0.1, paired=False, level=0.95) == 37


def test_seeds_needed_is_the_first_number_that_is_enough_and_none_beyond_the_limit():
    needed = statistics.seeds_needed(0.3, 0.2, paired=True, level=0.95)
    assert statistics.detectable(0.3, needed, paired=True, level=0.95) <= 0.2
    assert statistics.detectable(0.3, needed - 1, paired=True, level=0.95) > 0.2
    assert statistics.seeds_needed(1e-6, 1, paired=True, level=0.95) == 2
    assert statistics.seeds_needed(10, 0.1, paired=True, level=0.95) is None


def test_a_standard_deviation_of_three_seeds_is_known_to_a_factor_of_twelve():
    low, high = statistics.sd_interval(1, 2, 0.95)  # chi-square(2) has quantiles -2 ln(0.975), -2 ln(0.025)
    assert (low, high) == pytest.approx((math.sqrt(1 / -math.log(0.025)), math.sqrt(1 / -math.log(0.975))))
    assert high / low == pytest.approx(12, rel=0.02)


def test_holm_worked_by_hand_and_passing_over_what_could_not_be_tested():
    # sorted 0.01, 0.03, 0.04, times 3, 2, 1 and never falling
    assert statistics.holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, 0.06, 0.06]
    assert statistics.holm([None]) == [None]


def test_dunnett_gives_the_published_p_of_the_blood_counts():
    # Dunnett 1955, table 1, two drugs against a control; the p are those of R's multcomp
    control = array(7.40, 8.50, 7.20, 8.24, 9.84, 8.32)
    drugs = [array(9.76, 8.80, 7.68, 9.36), array(12.80, 9.68, 12.16, 9.20, 10.55)]
    assert statistics.dunnett_p(drugs, control) == pytest.approx([0.6201, 0.0059], abs=5e-4)


def test_dunnett_is_left_out_where_it_cannot_be_had():
    assert statistics.dunnett_p([array(1, 2)], array(1, 3)) is None  # one comparison is a t test
    assert statistics.dunnett_p([array(1), array(2)], array(3, 4)) is None
    assert statistics.dunnett_p([array(1, 1), array(2, 2)], array(3, 3)) is None
    assert statistics.dunnett_p([array(1, 2)] * 13, array(1, 3)) is None


def sweeps(n, *, difference, correlation, count, seed=0):
    """Simulated sweeps (count, n) of two arms with standard deviation 0.15."""
    rng = np.random.default_rng([seed, n])
    shared = rng.normal(0, math.sqrt(correlation), (count, n))
    own = rng.normal(0, math.sqrt(1 - correlation), (2, count, n))
    return 91 + difference + 0.15 * (shared + own[0]), 91 + 0.15 * (shared + own[1])


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_95_percent_intervals_cover_the_true_difference_in_93_to_97_percent_of_sweeps(n, paired):
    tests = [
        statistics.t_test(a, b, paired=paired, level=0.95)
        for a, b in zip(*sweeps(n, difference=0.1, correlation=0.4 * paired, count=2000), strict=True)
    ]
    assert 0.93 <= np.mean([t.low <= 0.1 <= t.high for t in tests]) <= 0.97


@pytest.mark.parametrize("pictures", [None, 360, 10_000], ids=["exact", "360 pictures", "10,000 pictures"])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_without_a_difference_at_most_5_percent_of_sweeps_say_better(n, pictures):
    settings = Settings(Metric("test/accuracy"), 0.05, 0.95)
    said = []
    for a, b in zip(*sweeps(n, difference=0, correlation=0.3, count=1000, seed=1), strict=True):
        if pictures:  # accuracies of few pictures are coarse: many ties, and often no spread at all
            a, b = (np.round(values / 100 * pictures) / pictures * 100 for values in (a, b))
        if statistics.has_spread(a - b, 100):
            p = statistics.t_test(a, b, paired=True, level=0.95).p
            p_equivalence = statistics.equivalence_p(a, b, 0.05, paired=True)
        else:
            p, p_equivalence = statistics.sign_flip_p(a - b, 100), None
        said.append(judge(a.mean() - b.mean(), p, p_equivalence, settings))
    assert said.count("better") / len(said) <= 0.05
    assert said.count("worse") / len(said) <= 0.05


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_detectable_difference_is_found_in_80_of_100_sweeps(n):
    difference = statistics.detectable(0.15 * math.sqrt(2), n, paired=True, level=0.95)
    found = [
        statistics.t_test(a, b, paired=True, level=0.95).p <= 0.05
        for a, b in zip(*sweeps(n, difference=difference, correlation=0, count=2000, seed=2), strict=True)
    ]
    assert 0.77 <= np.mean(found) <= 0.83


@pytest.mark.parametrize("n", [3, 5, 10])
def test_arms_a_margin_apart_are_called_equivalent_in_at_most_5_percent_of_sweeps(n):
    equivalent = [
        statistics.equivalence_p(a, b, 0.2, paired=True) <= 0.05
        for a, b in zip(*sweeps(n, difference=0.2, correlation=0.5, count=1000, seed=3), strict=True)
    ]
    assert np.mean(equivalent) <= 0.06  # 5 % and the noise of 1,000 sweeps
