"""What is different now from when a run began, in words."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ablate
from ablate import environment
from ablate.changes import config_differences, differences
from ablate.record import RunRecord, config_hash

CONFIG = {"name": "a", "seed": 0, "optimizer": {"lr": 0.1, "nesterov": True}, "allow_targets": []}


def record(**changes) -> RunRecord:
    known = {"versions": environment.versions(), "code": environment.code_digest(["ablate"])} | changes
    return RunRecord("a", 0, {}, CONFIG, config_hash(CONFIG), **known)


def test_nothing_has_changed():
    assert differences(record(), CONFIG) == []
    assert differences(record(), {**CONFIG, "name": "another"}) == []  # it has no part in a result
    assert differences(record(code=None, versions={}), CONFIG) == []  # an older record, which does not know


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ({"lr": 0.2, "nesterov": True}, ["optimizer.lr=0.1, now 0.2"]),
        ({"lr": 0.1, "nesterov": False}, ["optimizer.nesterov=true, now false"]),
        ({"lr": 0.1}, ["optimizer.nesterov=true, now absent"]),
        ({"lr": 0.1, "nesterov": True, "momentum": 0.9}, ["optimizer.momentum=absent, now 0.9"]),
    ],
)
def test_a_key_is_named_with_both_values(optimizer, words):
    assert config_differences(record(), {**CONFIG, "optimizer": optimizer}) == words


def test_versions_and_code_are_named():
    now = environment.versions()
    old = record(versions={**now, "torch": "1.0"}, code="0123456789ab")
    code = environment.code_digest(["ablate"])
    assert differences(old, CONFIG) == [f"code 0123456789ab, now {code}", f"torch 1.0, now {now['torch']}"]


def test_the_code_is_that_of_the_package_and_of_what_it_allows(tmp_path, monkeypatch):
    package = tmp_path / "mine"
    (package / "inner").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    seen = set()
    changes = [("__init__.py", ""), ("inner/a.py", "x = 1"), ("inner/a.py", "x = 2"), ("inner/b.py", "x = 2")]
    for path, text in [*changes, ("inner/c.c", "int x;")]:
        (package / path).write_text(text)
        seen.add(environment.code_digest(["mine"]))
    assert len(seen) == 5
    assert environment.code_digest(["mine.inner"]) in seen
    assert environment.code_digest(["absent_package"]) not in seen


def test_the_torch_that_is_read_is_the_one_that_is_imported():
    import torch

    assert environment.versions()["torch"] == torch.__version__
    code = "import sys, ablate.changes; ablate.changes.environment.versions(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_code_is_that_which_was_imported_and_not_that_which_is_there_now(tmp_path):
    shutil.copytree(Path(ablate.__file__).parent, tmp_path / "ablate")
    code = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
import ablate.changes
if sys.argv[2]:
    pathlib.Path(ablate.__file__).write_text(sys.argv[2])
print(ablate.__file__, ablate.changes.code_of({}))
"""
    said = [
        subprocess.run([sys.executable, "-c", code, tmp_path, text], check=True, capture_output=True, text=True).stdout
        for text in ("", "x = 1", "x = 2")
    ]
    assert said[0] == said[1] != said[2]
    assert said[0].startswith(str(tmp_path))
