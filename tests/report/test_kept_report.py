"""The report of the sweep on photographs that is kept in docs/, computed again from its results.csv by other means."""

import csv
import itertools
import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

KEPT = Path(__file__).parents[2] / "docs" / "nesterov_on_photographs"
ARMS = {"a": "nesterov=true", "b": "nesterov=false"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (KEPT / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def points(rows) -> dict[str, list[float]]:
    """Test accuracy in points by arm, in the order of the seeds."""
    by_arm = {
        arm: sorted((int(row["seed"]), 100 * float(row["test/accuracy"])) for row in rows if row["variant"] == label)
        for arm, label in ARMS.items()
    }
    assert [[seed for seed, _ in values] for values in by_arm.values()] == [[0, 1, 2, 3, 4]] * 2
    return {arm: [value for _, value in values] for arm, values in by_arm.items()}


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads((KEPT / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pair(report) -> dict:
    (comparison,) = report["effects"] or report["pairs"]
    return comparison


def test_means_and_deviations(points, pair):
    for arm, label in ARMS.items():
        found = pair[arm]
        assert (found["label"], found["n"]) == (label, 5)
        assert found["mean"] == pytest.approx(statistics.fmean(points[arm]))
        assert found["sd"] == pytest.approx(statistics.stdev(points[arm]))


def test_the_paired_interval_by_hand(points, pair):
    differences = [a - b for a, b in zip(points["a"], points["b"], strict=True)]
    assert pair["differences"] == pytest.approx(differences)
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(5)
    quantile = 2.7764451  # t with 4 degrees of freedom, 97.5 %, from a table
    assert pair["difference"] == pytest.approx(mean)
    assert pair["t_paired"]["low"] == pytest.approx(mean - quantile * error)
    assert pair["t_paired"]["high"] == pytest.approx(mean + quantile * error)
    assert pair["t_paired"]["p"] == pytest.approx(stats.ttest_rel(points["a"], points["b"]).pvalue)


def test_welch_correlation_and_sign_flips(points, pair):
    welch = stats.ttest_ind(points["a"], points["b"], equal_var=False)
    interval = welch.confidence_interval()
    assert pair["t_welch"]["p"] == pytest.approx(welch.pvalue)
    assert (pair["t_welch"]["low"], pair["t_welch"]["high"]) == pytest.approx((interval.low, interval.high))
    assert pair["correlation"] == pytest.approx(np.corrcoef(points["a"], points["b"])[0, 1])
    differences = np.subtract(points["a"], points["b"])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=5)]
    assert pair["p_sign_flip"] == np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9) == 0.0625


def test_equivalence_and_power(points, report, pair):
    margin = report["margin"]
    assert margin == 0.2
    p_value, _, _ = ttost_paired(np.array(points["a"]), np.array(points["b"]), -margin, margin)
    assert pair["p_equivalence"] == pytest.approx(p_value)
    sd = statistics.stdev(np.subtract(points["a"], points["b"]))
    power = TTestPower().power(pair["detectable"] / sd, nobs=5, alpha=0.05)
    assert power == pytest.approx(0.8, abs=1e-3)
    needed = pair["seeds_needed"]
    enough, too_few = (TTestPower().power(margin / sd, nobs=n, alpha=0.05) for n in (needed, needed - 1))
    assert too_few < 0.8 <= enough


def test_costs_are_means_of_the_runs(rows, report):
    for cost in report["costs"]:
        mine = [row for row in rows if row["variant"] == cost["arm"]]
        for name, column in (("images_per_second", "images_per_second"), ("peak_memory", "peak_memory_bytes")):
            assert cost[name]["mean"] == pytest.approx(statistics.fmean(float(row[column]) for row in mine))


def test_the_sentence_and_the_pages_say_these_numbers(points, pair, report):
    low, high = pair["t_paired"]["low"], pair["t_paired"]["high"]
    (sentence,) = report["sentences"]
    assert sentence == (
        f"nesterov=true - nesterov=false: {pair['difference']:+.2f} points test accuracy "
        f"[95 % CI {low:+.2f}, {high:+.2f}], 5 paired seeds: better"
    )
    page = (KEPT / "report.html").read_text(encoding="utf-8")
    text = (KEPT / "report.md").read_text(encoding="utf-8")
    for arm, label in ARMS.items():
        for shown in (f"{statistics.fmean(points[arm]):.2f} %, sd {statistics.stdev(points[arm]):.2f}, n = 5", label):
            assert shown in page
            assert shown in text
