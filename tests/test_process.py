"""The end of a command: everything said and written, nothing taken apart."""

import os
import subprocess
import sys

import pytest

from ablate.processes.lifetime import prepare

SCRIPT = """
import atexit, sys, types
from ablate.processes.lifetime import leave

class Last:
    def __del__(self):
        print("taken apart")

last = Last()
atexit.register(print, "told of the end")
sys.modules.setdefault("torch", types.ModuleType("torch"))
print("x" * 1000)
leave(3)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return str(path)


def ended(words):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=buffered)


def test_all_output_is_there_and_those_who_asked_are_told(script):
    done = ended([sys.executable, script])
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == ["x" * 1000, "told of the end"]


def test_a_profiler_still_shows_what_it_found(script):
    done = ended([sys.executable, "-m", "cProfile", script])
    assert "function calls" in done.stdout


def test_a_reader_that_has_gone_changes_nothing_about_the_exit_code(script):
    done = ended(["bash", "-c", f"{sys.executable} {script} | true; echo ${{PIPESTATUS[0]}}"])
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize(("given", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(monkeypatch, given, expected):
    environment = dict(given)
    monkeypatch.setattr("ablate.processes.lifetime.os.environ", environment)
    prepare()
    assert environment == {"OMP_WAIT_POLICY": expected}
