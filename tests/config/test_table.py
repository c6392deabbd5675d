"""What is shown at the end."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ablate.record import RunRecord
from ablate.sweep.table import exit_code, show_run, show_sweep


def record(folder: Path, seed: int, **changes: object) -> Path:
    variant = {"optimizer.nesterov": seed % 2 == 0, "optimizer.lr": 0.1}
    made = RunRecord("x", seed, variant, {"report": {"metric": "test/accuracy"}}, "abc", epochs=8)
    made.status, made.seconds, made.metrics = "done", {"total": 75.4}, {"test/accuracy": 0.98765, "test/loss": 0.1}
    for name, value in changes.items():
        setattr(made, name, value)
    folder.mkdir(parents=True)
    made.write(folder)
    return folder


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=160, highlight=False)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_sweep_is_a_row_a_run_in_the_planned_order(tmp_path, console):
    record(tmp_path / "b", 0)
    record(tmp_path / "a", 1, status="failed", error="ValueError: [x] broke")
    record(tmp_path / "d", 2, status="interrupted", seconds={"total": 3.2})
    show_sweep(tmp_path, ["b", "a", "d", "c"], console)
    header, first, second, third, fourth = lines(console)[:5]
    assert header.split() == ["variant", "seed", "test", "accuracy", "time", "folder"]
    assert first.split() == ["nesterov=true,", "lr=0.1", "0", "98.77", "%", "1", "min", "15", "s", "b"]
    assert "failed: ValueError: [x] broke (see train.log)" in second
    assert third.split()[2:] == ["2", "interrupted", "3", "s", "d"]
    assert fourth.split() == ["not", "run", "c"]


def test_another_metric_is_shown_as_it_is(tmp_path, console):
    record(tmp_path / "a", 0, config={"report": {"metric": "test/loss"}})
    record(tmp_path / "b", 1, config={"report": {"metric": "test/loss"}}, metrics={})
    show_sweep(tmp_path, ["a", "b"], console)
    assert "test loss" in lines(console)[0]
    assert " 0.1000 " in lines(console)[1]
    assert "not measured" in lines(console)[2]


def test_a_run_is_a_line_its_folder_and_the_way_to_the_dashboards(tmp_path, console):
    folder = record(tmp_path / "with space", 0, seconds={"total": 4000})
    show_run(folder, console)
    assert lines(console) == ["test accuracy 98.77 %, 8 epochs, 1 h 06 min", "", f"folder:     {folder}"]
    (folder / "events.out.tfevents.1").touch()
    show_run(folder, console)
    assert lines(console)[-1].endswith(f"-m ablate board '{folder}'")


def test_exit_codes(tmp_path):
    done, failed = record(tmp_path / "done", 0), record(tmp_path / "failed", 1, status="failed")
    died, stopped = record(tmp_path / "died", 2, status="running"), record(tmp_path / "stop", 3, status="interrupted")
    assert exit_code([done]) == 0
    assert exit_code([done, failed]) == 1
    assert exit_code([done, died]) == 1
    assert exit_code([done, tmp_path / "never"]) == 1
    assert exit_code([done, stopped]) == 130
    assert exit_code([failed, stopped]) == 1
