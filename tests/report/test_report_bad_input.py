"""Whatever lies in the folder: a sentence, no traceback, no wrong number."""

import json

import pytest
from synthetic_sweep import CONFIG, write_run, write_sweep, write_values

from ablate.errors import UserError
from ablate.report.analysis import Options, analyse
from ablate.report.collect import collect
from ablate.report.command import report

FACTOR = "optimizer.nesterov"


@pytest.fixture
def sweep(tmp_path):
    write_values(tmp_path, {True: [0.91, 0.92, 0.915], False: [0.90, 0.91, 0.902]}, FACTOR)
    return tmp_path


def sentences(folder, **options):
    return report([folder], **options).analysis.sentences


def notes(folder):
    return " ".join(analyse(collect([folder]), [folder], Options()).notes)


@pytest.mark.parametrize("make", [True, False], ids=["empty", "missing"])
def test_a_folder_without_runs_is_an_error_that_says_what_to_type(tmp_path, make):
    folder = tmp_path / "sweep"
    if make:
        folder.mkdir()
    with pytest.raises(UserError, match=r"(?s)sweep (holds no run|is no folder).*allowed:.*type:"):
        report([folder])
    assert not (folder / "report.html").exists()


def test_no_folder_at_all_is_an_error():
    with pytest.raises(UserError, match="no folder was given"):
        report([])


def test_one_run_is_described_and_not_compared(tmp_path):
    write_run(tmp_path / "a", {}, 0, 0.9134)
    assert sentences(tmp_path) == ("One variant, 1 run: test accuracy (%) 91.34; a comparison needs a second variant",)


def test_one_variant_is_described_with_its_spread(tmp_path):
    write_values(tmp_path, {True: [0.91, 0.92, 0.93]}, FACTOR)
    (sentence,) = sentences(tmp_path)
    assert sentence == (
        "One variant, 3 runs: test accuracy (%) 92.00, standard deviation 1.00; a comparison needs a second variant"
    )


def test_one_seed_gives_a_difference_without_an_interval(tmp_path):
    write_values(tmp_path, {True: [0.91], False: [0.90]}, FACTOR)
    (sentence,) = sentences(tmp_path)
    assert "+1.00 points test accuracy [no interval], 1 run each: inconclusive; one run has no spread" in sentence


def test_an_arm_without_a_result_is_named(tmp_path):
    write_values(tmp_path, {True: [0.91, 0.92], False: [0.90]}, FACTOR)
    write_run(tmp_path / "nesterov=false,seed=0", {FACTOR: False}, 0, None, status="running")
    assert sentences(tmp_path) == ("nesterov=true - nesterov=false: no comparison yet, nesterov=false has no result",)
    assert notes(tmp_path).startswith("2 of 3 runs count: 1 running. The verdict is not final.")


def test_nothing_has_finished_yet(tmp_path):
    write_run(tmp_path / "a", {FACTOR: True}, 0, None, status="running")
    assert sentences(tmp_path) == ("No run has a test accuracy yet: there is nothing to compare",)


def test_nan_and_failed_runs_leave_the_others_comparable_and_are_counted(sweep):
    before = report([sweep]).analysis.effects[0]
    write_run(sweep / "nan", {FACTOR: True}, 3, float("nan"))
    write_run(sweep / "failed", {FACTOR: False}, 4, None, status="failed", error="boom")
    after = report([sweep]).analysis.effects[0]
    assert after.difference == before.difference
    assert after.t == before.t
    assert "6 of 8 runs count: 1 failed, 1 without a result." in notes(sweep)


def test_a_corrupt_record_is_named_and_the_others_are_compared(sweep):
    (sweep / "nesterov=true,seed=0" / "run.json").write_text('{"name": "cut sho')
    assert "nesterov=true,seed=0/run.json cannot be read" in notes(sweep)
    assert report([sweep]).analysis.effects[0].seeds == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "one"},
        {"metrics": None},
        {"config": [1, 2]},
        {"seed": "zero"},
        {"device": "cpu"},
        {"num_parameters": "many"},
        {"finished": 12},
        {"classes": {"0": "cat"}},
        {"schema": 99},
    ],
    ids=str,
)
def test_a_record_with_nonsense_in_it_is_named_and_left_out(sweep, change):
    path = sweep / "nesterov=true,seed=0" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert str(path) in notes(sweep)
    assert report([sweep]).analysis.effects[0].seeds == (1, 2)


def test_records_of_an_older_schema_count_and_what_they_lack_is_unknown(sweep):
    for path in sweep.glob("*/run.json"):
        record = json.loads(path.read_text())
        kept = ("name", "seed", "variant", "config", "config_hash", "status", "metrics")
        path.write_text(json.dumps({key: record[key] for key in kept} | {"schema": 0}))
    found = report([sweep])
    assert found.analysis.effects[0].seeds == (0, 1, 2)
    assert "6 of 6 records come from an older version" in notes(sweep)
    assert "Not every record says its git.commit, data_checksum, initial_weights_hash, device.kind" in notes(sweep)


def test_only_corrupt_records_is_a_sentence_too(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert sentences(tmp_path) == ("No run has a test accuracy yet: there is nothing to compare",)
    assert "is no run record; that run is left out" in notes(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut"])
def test_predictions_that_cannot_be_read_are_passed_over(sweep, content):
    for path in sweep.glob("nesterov=*"):
        (path / "predictions.npz").write_bytes(content)
    assert report([sweep]).analysis.pictures == ()


@pytest.mark.parametrize("content", ["", "epoch,val/accuracy\n0,oops\n1\n", "epoch\n\x00\n", "\ufeff,,,\n,,,,,\n"])
def test_a_broken_learning_curve_is_passed_over(sweep, content):
    for path in sweep.glob("nesterov=*"):
        (path / "metrics.csv").write_text(content, encoding="utf-8")
    assert len(report([sweep]).analysis.effects) == 1


def test_a_gradcam_sheet_that_is_no_picture_is_passed_over(sweep):
    write_sweep(sweep, {FACTOR: [True, False]}, range(2), num_pictures=50, gradcam=True)
    next(sweep.glob("nesterov=true,seed=0/gradcam/*.png")).write_bytes(b"no picture")
    assert "Where they look" not in (report([sweep]).page).read_text(encoding="utf-8")


def test_the_manifest_says_how_many_runs_are_still_to_come(sweep):
    (sweep / "sweep.json").write_text(json.dumps({"runs": [{}] * 10}))
    assert "6 of 10 runs count: 4 not started. The verdict is not final." in notes(sweep)
    (sweep / "sweep.json").write_text("[]")
    assert notes(sweep) == ""


def test_a_metric_that_was_never_logged_is_an_error_with_those_that_were(sweep):
    with pytest.raises(UserError, match=r"(?s)--metric test/acc was never logged.*one of test/accuracy, test/loss"):
        report([sweep], metric="test/acc")


def test_wrong_options_are_all_named_at_once(sweep):
    with pytest.raises(UserError) as error:
        report([sweep], metric="x", margin=-1, level=95)
    assert [problem.given for problem in error.value.problems] == [
        "--level 95",
        "--margin -1",
        "--metric x was never logged",
    ]


def test_configs_that_disagree_about_the_margin_are_noted_and_the_option_decides(sweep):
    config = CONFIG | {"seed": 0, "optimizer": {**CONFIG["optimizer"], "nesterov": True}}
    config["report"] = {**CONFIG["report"], "margin": 0.5}
    config["factors"] = [FACTOR]
    write_run(sweep / "nesterov=true,seed=0", {FACTOR: True}, 0, 0.91, config=config)
    assert "report.margin differs between the runs (0.2, 0.5): 0.2 is used." in notes(sweep)
    assert report([sweep], margin=3).analysis.settings.margin == 3
