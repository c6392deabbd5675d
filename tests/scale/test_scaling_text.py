"""What docs/scaling.md says was computed, and what it promises works."""

import shlex
from pathlib import Path

import pytest

from typed import TINY, typed

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "scaling.md").read_text()


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_the_table_of_planned_runs_is_what_the_script_prints():
    from planned_runs import SPEEDS, table

    assert table(SPEEDS) in TEXT


def test_hours_worked_by_hand():
    from planned_runs import Sweep, hours

    sweep = Sweep("x", runs=9, epochs=2, train=3_000, val=300, test=600)
    # 2 x (3,000 + 100) + 200 = 6,400 pictures at 10 a second, and 10 s to start: 650 s
    assert sweep.hours_of_a_run(10.0) == pytest.approx(650 / 3600)
    assert hours(sweep, 10.0, 1) == pytest.approx(9 * 650 / 3600)
    assert hours(sweep, 10.0, 8) == pytest.approx(2 * 650 / 3600)  # the ninth waits for a free one
    assert hours(sweep, 10.0, 64) == pytest.approx(650 / 3600)


def test_the_two_lines_for_any_scheduler_train_go_on_and_are_then_done(tmp_path):
    """As they stand in the text, typed three times: a new run, one that was cut off, one that is done."""
    place, command = [line for line in TEXT.splitlines() if line.startswith(("    F=", "    python -m ablate resume"))]
    folder = f"{tmp_path}/mine/nesterov=true,seed=3"
    assert place.strip() == "F=/shared/mine/nesterov=$N,seed=$SEED"
    words = command.replace("$N", "true").replace("$SEED", "3").replace("$F", folder)
    go_on, train = (shlex.split(part) for part in words.split("||"))

    def type_it() -> int:
        return typed(tmp_path, *go_on[3:]).code and typed(tmp_path, *TINY, "logger=none", *train[2:]).code

    assert type_it() == 0
    record = Path(folder, "run.json")
    first = record.read_text()
    assert '"status": "done"' in first
    record.write_text(first.replace('"status": "done"', '"status": "running"'))  # and nobody holds it: it was killed
    assert type_it() == 0
    assert '"attempts": 2' in record.read_text()
    second = record.read_text()
    assert type_it() == 0
    assert record.read_text() == second
