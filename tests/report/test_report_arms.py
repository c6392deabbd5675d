"""Which runs form which arm, and what is compared with what."""

import pytest
from synthetic_sweep import make_config, write_run, write_values

from ablate.errors import UserError
from ablate.report.arms import find_arms
from ablate.report.collect import collect
from ablate.report.metric import Metric

ACCURACY = Metric("test/accuracy")


def arms_of(folder, factor=None, baseline=None):
    return find_arms(collect([folder]).runs, ACCURACY, factor, baseline)


def labels(design):
    return [arm.label for arm in design.arms]


def test_arms_are_the_levels_of_the_swept_key_in_points_by_seed(tmp_path):
    write_values(tmp_path, {True: [0.91, 0.92], False: [0.90, 0.905]}, "optimizer.nesterov")
    design = arms_of(tmp_path)
    assert labels(design) == ["nesterov=false", "nesterov=true"]
    assert dict(design.arms[1].values) == pytest.approx({0: 91.0, 1: 92.0})
    (pair,) = design.pairs()
    assert (pair.a, pair.b) == ("nesterov=true", "nesterov=false")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.05, 1e-3], ["lr=0.001", "lr=0.05", "lr=0.1"]),
        ([10, 9, None], ["lr=null", "lr=9", "lr=10"]),
        (["b", "a", True], ["lr=true", "lr=a", "lr=b"]),
        ([[1, 2], "a"], ["lr=[1, 2]", "lr=a"]),
    ],
)
def test_the_baseline_is_null_false_the_smallest_number_or_the_first_word(tmp_path, values, expected):
    for value in values:
        write_run(tmp_path / str(value), {"optimizer.lr": value}, 0, 0.9)
    assert labels(arms_of(tmp_path)) == expected


@pytest.mark.parametrize("asked", ["true", "nesterov=true", "optimizer.nesterov=true"])
def test_another_baseline_can_be_asked_for(tmp_path, asked):
    write_values(tmp_path, {True: [0.91], False: [0.90]}, "optimizer.nesterov")
    assert arms_of(tmp_path, baseline=asked).arms[0].label == "nesterov=true"


def test_a_baseline_that_is_no_level_is_an_error_with_the_levels(tmp_path):
    write_values(tmp_path, {True: [0.91], False: [0.90]}, "optimizer.nesterov")
    with pytest.raises(UserError, match=r"(?s)--baseline lr=3.*one of nesterov=false, nesterov=true"):
        arms_of(tmp_path, baseline="lr=3")


def test_keys_that_end_alike_keep_their_full_names(tmp_path):
    for lr in (0.1, 0.2):
        write_run(tmp_path / str(lr), {"optimizer.lr": lr, "scheduler.lr": 2 * lr}, 0, 0.9)
    assert labels(arms_of(tmp_path))[0] == "optimizer.lr=0.1, scheduler.lr=0.2"


def test_a_swept_group_is_one_factor_although_many_keys_of_it_differ(tmp_path):
    for name, keys in {
        "sgd": {"optimizer.lr": 0.1},
        "adamw": {"optimizer.lr": 1e-3, "optimizer.momentum": None},
    }.items():
        write_run(tmp_path / name, {"optimizer": name}, 0, 0.9, config=make_config(keys, 0))
    assert labels(arms_of(tmp_path)) == ["optimizer=adamw", "optimizer=sgd"]


def test_single_runs_that_differ_in_one_key_compare_in_that_key(tmp_path):
    for lr in (0.1, 0.2):
        write_run(tmp_path / str(lr), {}, 0, 0.9, config=make_config({"optimizer.lr": lr}, 0))
    assert labels(arms_of(tmp_path)) == ["lr=0.1", "lr=0.2"]


def test_single_runs_that_differ_in_several_keys_compare_in_none_unless_asked(tmp_path):
    for lr in (0.1, 0.2):
        keys = {"optimizer.lr": lr, "optimizer.momentum": lr}
        write_run(tmp_path / str(lr), {}, 0, 0.9, config=make_config(keys, 0))
    assert labels(arms_of(tmp_path)) == ["all runs"]
    assert labels(arms_of(tmp_path, factor="optimizer.lr")) == ["lr=0.1", "lr=0.2"]


def test_a_factor_with_one_value_is_an_error_with_those_that_have_more(tmp_path):
    write_values(tmp_path, {True: [0.91], False: [0.90]}, "optimizer.nesterov")
    with pytest.raises(UserError, match=r"(?s)--factor optimizer.lr: every run.*lr=0.1.*optimizer.nesterov"):
        arms_of(tmp_path, factor="optimizer.lr")


def two_by_two(folder, results, leave_out=()):
    """results: (nesterov, lr) -> accuracies by seed."""
    for (nesterov, lr), accuracies in results.items():
        for seed, accuracy in enumerate(accuracies):
            if (nesterov, lr, seed) not in leave_out:
                variant = {"optimizer.nesterov": nesterov, "optimizer.lr": lr}
                write_run(folder / f"{nesterov}{lr}{seed}", variant, seed, accuracy)


RESULTS = {
    (False, 0.1): [0.90, 0.91],
    (True, 0.1): [0.92, 0.94],
    (False, 0.2): [0.80, 0.82],
    (True, 0.2): [0.86, 0.83],
}


def test_a_main_effect_is_averaged_over_the_other_factor_seed_by_seed(tmp_path):
    two_by_two(tmp_path, RESULTS)
    design = arms_of(tmp_path)
    lr, nesterov = design.main_effects()
    assert (nesterov.a, nesterov.b, nesterov.over) == ("nesterov=true", "nesterov=false", "averaged over lr")
    assert dict(nesterov.values_a) == pytest.approx({0: (92 + 86) / 2, 1: (94 + 83) / 2})
    assert dict(nesterov.values_b) == pytest.approx({0: (90 + 80) / 2, 1: (91 + 82) / 2})
    assert dict(lr.values_a) == pytest.approx({0: (80 + 86) / 2, 1: (82 + 83) / 2})
    assert [pair.a for pair in design.pairs()] == [
        "lr=0.1, nesterov=true",
        "lr=0.2, nesterov=false",
        "lr=0.2, nesterov=true",
    ]


def test_a_seed_that_lacks_a_run_counts_in_no_main_effect(tmp_path):
    two_by_two(tmp_path, RESULTS, leave_out={(True, 0.2, 1)})
    _, nesterov = arms_of(tmp_path).main_effects()
    assert list(nesterov.values_a) == list(nesterov.values_b) == [0]


def test_a_setting_that_was_run_on_one_side_alone_weighs_on_neither(tmp_path):
    two_by_two(tmp_path, RESULTS, leave_out={(True, 0.2, 0), (True, 0.2, 1)})
    _, nesterov = arms_of(tmp_path).main_effects()
    assert dict(nesterov.values_b) == pytest.approx({0: 90.0, 1: 91.0})  # lr=0.1 only


def test_asking_for_one_factor_leaves_the_others_as_settings_to_average_over(tmp_path):
    two_by_two(tmp_path, RESULTS)
    (effect,) = arms_of(tmp_path, factor="optimizer.nesterov").main_effects()
    assert effect.a == "nesterov=true"


def test_runs_without_a_result_do_not_count_and_the_reason_is_kept(tmp_path):
    variant = {"optimizer.nesterov": True}
    write_run(tmp_path / "good", variant, 0, 0.91)
    write_run(tmp_path / "nan", variant, 1, float("nan"))
    write_run(tmp_path / "none", variant, 2, None)
    write_run(tmp_path / "failed", variant, 3, None, status="failed", error="ValueError: no")
    write_run(tmp_path / "running", variant, 4, None, status="running")
    write_run(tmp_path / "text", variant, 5, 0.9, metrics={"test/accuracy": "high"})
    design = arms_of(tmp_path)
    assert {run.folder.name: why for run, why in design.unused.items()} == {
        "nan": "test/accuracy is nan",
        "none": "has no test/accuracy",
        "failed": "failed: ValueError: no",
        "running": "running",
        "text": "has no test/accuracy",
    }
    assert dict(design.arms[0].values) == {0: 91.0}


def test_of_a_repeated_run_the_first_counts_so_that_repeating_cannot_improve_the_answer(tmp_path):
    variant = {"optimizer.nesterov": True}
    write_run(tmp_path / "a", variant, 0, 0.99, finished="2026-11-22T12:00:00+00:00")
    write_run(tmp_path / "b", variant, 0, 0.91, finished="2026-11-22T11:00:00+00:00")
    design = arms_of(tmp_path)
    assert dict(design.arms[0].values) == {0: 91.0}
    assert list(design.unused.values()) == ["same variant and seed as b, which finished first"]
