"""Every bad input ends in a message of three parts, the right exit code, and a folder that is as it was before."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bad_files import FILES
from bad_runs import PASSED_OVER, RUNS, SIMPLE
from bad_surroundings import HARMLESS, PROCESSES, SURROUNDINGS
from bad_words import WORDS
from world import Row, snapshot

from ablate import cli
from ablate.commands.train import run_command

PROJECT = Path(__file__).parents[2]
ROWS = [
    *(Row(" ".join(words)[:80], words, says) for words, says in WORDS),
    *FILES,
    *SURROUNDINGS,
    *SIMPLE,
]
SMALL = [
    *("data=shapes", "data.source.num_train=40", "data.source.num_test=10", "data.batch_size=16", "data.num_workers=0"),
    *("model.width=2", "model.ghost_size=8", "trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none"),
]


def carry_out(command, monkeypatch):
    """The exit code of a command line, in this process."""
    monkeypatch.setattr("ablate.training.preload", lambda: None)  # nothing will be trained
    if command[0] != "ablate":
        return run_command(PROJECT / "conf", command)
    monkeypatch.setattr(sys, "argv", list(command))
    monkeypatch.setattr(cli, "leave", sys.exit)  # which would end this process, and all tests with it
    try:
        cli.main()
    except SystemExit as left:
        return left.code or 0
    return 0


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of a few seconds."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run_command(PROJECT / "conf", [*SMALL, f"hydra.run.dir='{folder}'"]) == 0
    return folder


@pytest.fixture
def world(tmp_path, monkeypatch, capsys):
    """Carry out a row in an empty folder: (exit code, standard output, standard error)."""

    def run(row):
        folder = tmp_path / "work"
        folder.mkdir()
        monkeypatch.chdir(folder)
        row.prepare(folder)
        for name, value in row.env.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        before = snapshot(folder)
        capsys.readouterr()
        code = carry_out(row.command, monkeypatch)
        printed = capsys.readouterr()
        assert snapshot(folder) == before
        return code, printed.out, printed.err

    return run


@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_bad_input_is_named_with_a_way_out_and_nothing_is_created(world, row):
    code, out, err = world(row)
    assert code == row.code, out + err
    assert out == ""
    assert "Traceback" not in err
    assert err.count("allowed: ") == err.count("type: ") >= 1
    for text in row.says:
        assert text in err


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "command", "says", "change"), RUNS, ids=[name for name, *_ in RUNS])
def test_a_damaged_run_is_named_and_left_as_it_is(world, trained, name, command, says, change):
    def prepare(folder):
        shutil.copytree(trained, folder / "run")
        change(folder / "run")

    code, out, err = world(Row(name, command, says, prepare))
    assert code == 2, out + err
    assert "Traceback" not in err
    assert err.count("allowed: ") == err.count("type: ") >= 1
    for text in says:
        assert text in err


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "says", "change"), PASSED_OVER, ids=[name for name, *_ in PASSED_OVER])
def test_a_report_passes_over_what_it_cannot_read(tmp_path, monkeypatch, capsys, trained, name, says, change):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "sweep/seed=0")
    change(Path("sweep/seed=0"))
    capsys.readouterr()
    assert carry_out(["ablate", "report", "sweep"], monkeypatch) == 0
    printed = capsys.readouterr()
    assert says in printed.out
    assert "Traceback" not in printed.out + printed.err
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("row", HARMLESS, ids=[row.name for row in HARMLESS])
def test_what_a_command_need_not_mind(world, row):
    code, out, err = world(row)
    assert (code, err) == (0, "")
    assert "optimizer:" in out


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "env", "command", "code", "says"), PROCESSES, ids=[name for name, *_ in PROCESSES])
def test_a_process_of_its_own(tmp_path, name, env, command, code, says):
    script = [str(PROJECT / "train.py"), *command[1:]] if command[0] == "train.py" else command
    ended = subprocess.run(
        [sys.executable, *script], cwd=tmp_path, env={**os.environ, **env}, capture_output=True, timeout=100
    )
    said = ended.stderr.decode(errors="replace")
    assert ended.returncode == code, said
    assert says in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_long():
    assert len(ROWS) + len(RUNS) >= 180
