"""Very many runs: every file is read once, nothing is read for nothing, and what is shown can be read by people.

Reads are counted, not timed: work that is in proportion for two hundred runs is so for ten thousand.
"""

import io
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ablate.record import RunRecord, find_runs
from ablate.report import page
from ablate.report.command import report
from ablate.sweep.manifest import Manifest, PlannedRun
from ablate.sweep.status import MAX_ROWS, show_status
from ablate.sweep.table import MAX_ROWS as MAX_ROWS_AT_THE_END
from ablate.sweep.table import show_sweep

ROOT = Path(__file__).parents[2]
NUM = 210


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Two runs of it are broken: number 50 has failed, number 150 has diverged."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("benchmarks", "tests/report", "tests/board"):
            patch.syspath_prepend(str(ROOT / place))
        from many_records import make

        folder = tmp_path_factory.mktemp("many") / "sweep"
        make(folder, NUM)
    return folder


@pytest.fixture
def opened(monkeypatch) -> Counter[str]:
    """How often each file has been opened, by name."""
    counts: Counter[str] = Counter()
    real = io.open

    def counting(file, *arguments, **named):
        counts[str(file)] += 1
        return real(file, *arguments, **named)

    monkeypatch.setattr(io, "open", counting)  # what pathlib calls
    return counts


def of_runs(opened: Counter[str]) -> Counter[str]:
    """The same by the name of the file alone."""
    return Counter(Path(name).name for name in opened.elements())


def shown(folder: Path, **options) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    show_status(folder, console, **options)
    return console.file.getvalue().splitlines()


def test_a_status_reads_no_record_that_it_has_read_before(many, opened):
    assert "208 of 210 done" in shown(many)[1]
    assert of_runs(opened) == {"sweep.json": 1}
    (many / "lr=0.02,weight_decay=0.0001,seed=3").rename(many / "gone")
    try:
        assert "207 of 210 done" in shown(many)[1]
        assert "1 pending" in shown(many)[1]
    finally:
        (many / "gone").rename(many / "lr=0.02,weight_decay=0.0001,seed=3")
    assert "208 of 210 done" in shown(many)[1]


def change(record: RunRecord, folder: Path, how: str) -> None:
    path = folder / "run.json"
    text = path.read_text()
    if how == "the same number of bytes":
        record.write(folder)
        path.write_text(path.read_text().replace('"status": "done"', '"status": "bad!"'))
    elif how == "an older record":
        record.status = "failed"
        record.write(folder)
        os.utime(path, (1, 1))
    elif how == "cut short":
        path.write_text(text[: len(text) // 2])
    elif how == "gone":
        path.unlink()
    else:
        record.status = how
        record.error = f"{how} for a reason"
        record.write(folder)


STATUSES = ("failed", "diverged", "interrupted", "running")


@pytest.mark.parametrize("how", [*STATUSES, "the same number of bytes", "an older record", "cut short", "gone"])
def test_whatever_happens_to_a_record_is_seen_at_the_next_look(many, how, opened):
    """As if no record had ever been read; and one of two hundred is read."""
    manifest = Manifest.read(many)
    name = "lr=0.03,weight_decay=0.0001,seed=4"
    before = (many / name / "run.json").read_bytes()
    record = RunRecord.read(many / name)
    try:
        change(record, many / name, how)
        opened.clear()
        found = manifest.refreshed(many)
        assert of_runs(opened)["run.json"] <= 1
        forgotten = {digest: PlannedRun(run.folder, run.seed) for digest, run in manifest.runs.items()}
        fresh = replace(manifest, runs=forgotten).refreshed(many)
        assert found == fresh
        assert found != manifest
    finally:
        (many / name / "run.json").write_bytes(before)


def test_what_was_seen_survives_being_written_and_read(many, opened):
    manifest = Manifest.read(many).refreshed(many)
    manifest.write(many)
    lines = (many / "sweep.json").read_text().splitlines()
    assert sum('"folder": ' in line for line in lines) == NUM  # a line a run
    assert json.loads("\n".join(lines))["command"] == manifest.command
    assert Manifest.read(many) == manifest
    opened.clear()
    assert Manifest.read(many).refreshed(many) == manifest
    assert of_runs(opened)["run.json"] == 0


def test_a_status_names_what_has_to_be_seen_to_and_counts_the_rest(many, monkeypatch):
    lines = shown(many)
    assert len(lines) < 10
    assert any("seed=0" in line and "failed" in line for line in lines)
    assert len(lines[0]) <= 200
    assert len(shown(many, all_runs=True)) > NUM
    monkeypatch.setattr("ablate.sweep.manifest._looked_at", lambda run, _: PlannedRun(run.folder, 0, "failed"))
    lines = shown(many)
    assert MAX_ROWS < len(lines) < MAX_ROWS + 8
    assert any(f"and {NUM - MAX_ROWS} more; all of them with --all" in line for line in lines)


def test_the_table_at_the_end_of_many_runs_is_of_those_that_are_not_done(many):
    console = Console(file=io.StringIO(), width=160)
    names = [run.folder for run in Manifest.read(many).runs.values()]
    assert len(names) > MAX_ROWS_AT_THE_END
    show_sweep(many, names, console)
    lines = console.file.getvalue().splitlines()
    assert len(lines) < 12
    assert any("failed" in line for line in lines)
    assert any("208 of 210 runs are done" in line for line in lines)


def test_a_report_opens_every_file_of_a_run_once(many, opened):
    report([many])
    found = {name: count for name, count in opened.items() if name.startswith(str(many.resolve()))}
    assert max(count for name, count in found.items() if "predictions" not in name) == 1
    assert of_runs(opened)["run.json"] == NUM
    assert of_runs(opened)["predictions.npz"] <= 2 * 3 * 10  # of three comparisons, ten seeds each
    assert sum(found.values()) < 4 * NUM


def test_a_page_of_many_runs_has_the_broken_ones_and_says_what_it_leaves_out(many, monkeypatch):
    monkeypatch.setattr(page, "MAX_LINES", 5)
    found = report([many])
    for name in ("report.html", "report.md"):
        text = (many / name).read_text()
        assert "failed: RuntimeError: made up" in text
        assert "diverged: RuntimeError: made up" in text
        assert "5 of 210 runs are listed, first of all those that do not count" in text
        assert "5 of 20 are listed" in text  # comparisons with the baseline
    assert len((many / "results.csv").read_text().splitlines()) == NUM + 1
    assert len(str(found).splitlines()) < 40


def test_of_many_notes_some_are_said_and_all_are_kept(tmp_path, many):
    copy = tmp_path / "copy"
    copy.mkdir()
    for number, run in enumerate(find_runs(many)):
        (copy / run.name).mkdir()
        text = (run / "run.json").read_text()
        (copy / run.name / "run.json").write_text(text[:100] if number % 2 else text)
    found = report([copy])
    said = [line for line in str(found).splitlines() if line.startswith("note: ")]
    assert len(said) == page.MAX_NOTES + 1
    assert "more, in report.json" in said[-1]
    assert len(json.loads((copy / "report.json").read_text())["notes"]) > NUM // 2


def test_folders_of_a_run_are_not_searched_for_runs_but_others_below_it_are(tmp_path):
    for name in ("a", "a/checkpoints/x", "a/more/b", "c/checkpoints/d"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)]
    assert found == ["a", "a/more/b", "c/checkpoints/d"]
