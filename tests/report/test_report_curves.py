"""Learning curves, time to a target, cost."""

import numpy as np
import pytest
from synthetic_sweep import write_run

from ablate.report.arms import find_arms
from ablate.report.collect import collect
from ablate.report.curves import cost, curve
from ablate.report.metric import Metric


def arm(folder, curves, **changes):
    """One arm; curves: validation accuracy by epoch, one list a seed, an epoch every 10 seconds."""
    for seed, values in enumerate(curves):
        place = folder / str(seed)
        write_run(place, {}, seed, 0.9, **{name: each[seed] for name, each in changes.items()})
        rows = [f"{epoch},{value}" for epoch, value in enumerate(values)]
        (place / "metrics.csv").write_text("\n".join(["epoch,val/accuracy", *rows]) + "\n")
        rows = [f"{epoch},{10 * (epoch + 1)}" for epoch in range(len(values))]
        (place / "timings.csv").write_text("\n".join(["epoch,seconds", *rows]) + "\n")
    return find_arms(collect([folder]).runs, Metric("test/accuracy"), None, None).arms[0]


def test_a_curve_is_the_mean_and_spread_by_epoch_as_far_as_every_run_came(tmp_path):
    found = curve(arm(tmp_path, [[0.5, 0.7, 0.9], [0.7, 0.8]]), "val/accuracy")
    assert found.epochs.tolist() == [1, 2]
    assert found.mean.tolist() == pytest.approx([60, 75])
    assert found.sd.tolist() == pytest.approx([np.sqrt(200), np.sqrt(50)])
    assert curve(arm(tmp_path, [[0.5]]), "train/nothing") is None


def test_one_run_has_a_curve_without_a_band_and_nan_epochs_are_left_out(tmp_path):
    found = curve(arm(tmp_path, [[0.5, float("nan"), 0.6]]), "val/accuracy")
    assert found.epochs.tolist() == [1, 3]
    assert not found.sd.any()


def test_time_to_target_is_the_first_epoch_at_the_target_with_its_t_interval(tmp_path):
    found = cost(arm(tmp_path, [[0.5, 0.88, 0.8], [0.87, 0.9, 0.9], [0.1, 0.2, 0.87]]), 87, 0.95)
    assert (found.num_reached, found.num_curves) == (3, 3)
    assert found.epochs_to_target.mean == 2  # epochs 2, 1, 3
    half = 4.302653 / np.sqrt(3)  # t(0.975, 2), standard deviation 1
    assert found.epochs_to_target.interval == pytest.approx((2 - half, 2 + half))
    assert found.seconds_to_target.mean == 20


def test_the_seconds_of_an_older_run_are_among_its_metrics(tmp_path):
    old = arm(tmp_path, [[0.5, 0.9]])
    (tmp_path / "0" / "timings.csv").unlink()
    (tmp_path / "0" / "metrics.csv").write_text("epoch,seconds,val/accuracy\n0,7,0.5\n1,14,0.9\n")
    assert cost(old, 87, 0.95).seconds_to_target.mean == 14


def test_a_run_that_never_gets_there_leaves_no_mean_of_the_quick_ones(tmp_path):
    found = cost(arm(tmp_path, [[0.9], [0.5]]), 87, 0.95)
    assert (found.num_reached, found.num_curves) == (1, 2)
    assert found.epochs_to_target is None


def test_cost_is_the_mean_of_what_the_records_say(tmp_path):
    found = cost(
        arm(tmp_path, [[0.5], [0.5]], seconds=[{"fit": 10.0}, {"fit": 14.0}], images_per_second=[100, None]), 87, 0.95
    )
    assert found.seconds.mean == 12
    assert (found.images_per_second.n, found.images_per_second.mean, found.images_per_second.interval) == (1, 100, None)
    assert found.num_parameters == 700_000
