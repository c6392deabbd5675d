"""What is written: numbers recomputed from results.csv, files that replace each other whole, without torch."""

import csv
import json
import math
import statistics
import subprocess
import sys

import pytest
from synthetic_sweep import write_run, write_sweep, write_values

from ablate.errors import UserError
from ablate.report.command import report

FACTOR = "optimizer.nesterov"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    effects = {(FACTOR, True): 0.05}
    write_sweep(folder, {FACTOR: [True, False]}, range(5), effects=effects, num_pictures=1_000, gradcam=True)
    report([folder])
    return folder


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


T_975 = {3: 3.182446305284263, 4: 2.7764451051977987, 7: 2.3646242515927844}  # printed tables of Student's t


T_95 = {4: 2.13184678633}


FILES = ("report.html", "report.json", "report.md", "results.csv")


def rows(folder):
    return list(csv.DictReader(read(folder, "results.csv").splitlines()))


def test_every_number_of_the_comparison_follows_from_results_csv(sweep):
    points = {
        level: {int(row["seed"]): 100 * float(row["test/accuracy"]) for row in rows(sweep) if row[FACTOR] == level}
        for level in ("true", "false")
    }
    d = [points["true"][seed] - points["false"][seed] for seed in range(5)]
    mean, sd = statistics.mean(d), statistics.stdev(d)
    half = T_975[4] * sd / math.sqrt(5)
    (found,) = json.loads(read(sweep, "report.json"))["effects"]
    assert found["difference"] == pytest.approx(mean)
    assert (found["t"]["low"], found["t"]["high"]) == pytest.approx((mean - half, mean + half))
    assert found["sd"] == pytest.approx(sd)
    assert found["within"] == pytest.approx(abs(mean) + T_95[4] * sd / math.sqrt(5))
    assert found["correlation"] == pytest.approx(
        statistics.correlation(
            [points["true"][seed] for seed in range(5)], [points["false"][seed] for seed in range(5)]
        )
    )
    for side, level in (("a", "true"), ("b", "false")):
        values = list(points[level].values())
        assert found[side]["mean"] == pytest.approx(statistics.mean(values))
        assert found[side]["sd"] == pytest.approx(statistics.stdev(values))
    flips = [sum(s * x for s, x in zip(signs, d, strict=True)) for signs in all_signs(5)]
    assert found["p_sign_flip"] == sum(abs(flip) >= abs(sum(d)) - 1e-4 for flip in flips) / 32
    assert found["superiority"]["value"] == sum((x > 1e-4) + (abs(x) <= 1e-4) / 2 for x in d) / 5
    page = read(sweep, "report.html")
    for number in (f"{mean:+.2f} points test accuracy", f"95 % CI {mean - half:+.2f}, {mean + half:+.2f}"):
        assert number in page


def all_signs(n):
    return [[1 if i >> k & 1 else -1 for k in range(n)] for i in range(2**n)]


def test_results_csv_has_a_row_a_run_and_says_which_count(tmp_path):
    write_values(tmp_path, {True: [0.91, 1 / 3], False: [0.90, 0.91]}, FACTOR)
    write_run(tmp_path / "failed, once", {FACTOR: True}, 2, None, status="failed", error='"quoted", and\nbroken')
    report([tmp_path])
    found = {row["folder"]: row for row in rows(tmp_path)}
    assert len(found) == 5
    assert float(found["nesterov=true,seed=1"]["test/accuracy"]) == 1 / 3
    assert found["failed, once"]["counts"] == "false"
    assert found["failed, once"]["why_not"].startswith('failed: "quoted", and')


def test_report_json_is_strict_json_although_metrics_may_be_nan(tmp_path):
    write_values(tmp_path, {True: [0.91, float("nan")], False: [0.90, 0.91]}, FACTOR)
    report([tmp_path])

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(read(tmp_path, "report.json"), parse_constant=refuse)["metric"] == "test/accuracy"


def test_the_same_records_give_the_same_bytes(sweep):
    before = [read(sweep, name) for name in FILES]
    report([sweep])
    assert [read(sweep, name) for name in FILES] == before


def test_a_reader_never_finds_half_a_file(sweep, monkeypatch):
    before = [read(sweep, name) for name in FILES]

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(KeyboardInterrupt):
        report([sweep], level=0.9)
    assert [read(sweep, name) for name in FILES] == before
    assert not list(sweep.glob(".*"))


def test_a_folder_that_cannot_be_written_to_is_an_error_that_names_it(tmp_path, monkeypatch):
    write_values(tmp_path, {True: [0.91, 0.92], False: [0.90, 0.91]}, FACTOR)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ablate.report.command.write_atomically", refuse)
    with pytest.raises(UserError, match=f"{tmp_path} cannot be written to .*Permission denied"):
        report([tmp_path])


def test_what_is_printed_is_the_sentences_the_notes_and_the_address(tmp_path):
    write_values(tmp_path, {lr: [0.9, 0.91 + lr / 10] for lr in range(16)}, "optimizer.lr")
    lines = str(report([tmp_path])).splitlines()
    assert len(lines) == 14
    assert lines[0].startswith("lr=1 - lr=0: ")
    assert lines[12] == "and 3 more in the report; all in all 15 inconclusive"
    assert lines[13] == f"report: {tmp_path / 'report.html'}"


def test_the_report_is_made_without_torch(sweep):
    code = (
        "import sys, pathlib; from ablate.report.command import report; report([pathlib.Path(sys.argv[1])]); "
        "sys.exit(', '.join({'torch', 'pytorch_lightning', 'hydra', 'matplotlib.pyplot'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sweep)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_cell_of_the_csv_is_a_formula(tmp_path):
    for seed, value in enumerate(("=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-2", "-x")):
        write_run(tmp_path / f"-run{seed}", {"optimizer.kind": value}, seed, None, metrics={"test/loss": -0.5})
    report([tmp_path], metric="test/loss")
    rows = list(csv.DictReader(read(tmp_path, "results.csv").splitlines()))
    assert [row["optimizer.kind"] for row in rows] == ["'=cmd|' /C calc'!A0", "'+1+1", "'@SUM(A1)", "-2", "'-x"]
    assert [row["folder"] for row in rows] == [f"'-run{seed}" for seed in range(5)]
    assert {row["test/loss"] for row in rows} == {"-0.5"}  # a number stays one
