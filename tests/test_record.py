"""The run record on disk: whole, true, and readable in part by nobody."""

import json
import os

import pytest

from ablate.errors import Problem, UserError
from ablate.record import RunRecord, config_hash, find_runs, write_atomically


def record(**changes) -> RunRecord:
    start = {"name": "n", "seed": 3, "variant": {"optimizer.nesterov": True}, "config": {"seed": 3}, "config_hash": "a"}
    return RunRecord(**{**start, **changes})


def test_a_record_survives_the_disk(tmp_path):
    written = record(status="done", metrics={"test/accuracy": 0.9917}, name="ümlaut <b>")
    written.write(tmp_path)
    assert RunRecord.read(tmp_path) == written


def test_a_field_that_a_later_version_adds_is_passed_over(tmp_path):
    record().write(tmp_path)
    content = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**content, "colour": "blue"}))
    assert RunRecord.read(tmp_path) == record()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no run.json"),
        ('{"name": "n", "se', "cannot be read"),
        ("[]", "is no run record"),
        ('{"name": "n"}', "is no run record"),
        (
            '{"name": "n", "seed": 0, "variant": {}, "config": 3, "config_hash": "a", "status": "done", "schema": 1}',
            "is no run record",
        ),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_record_that_is_none_is_named(tmp_path, content, words):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=words):
        RunRecord.read(tmp_path)


def test_a_record_of_a_newer_schema_is_refused(tmp_path):
    record(schema=99).write(tmp_path)
    with pytest.raises(UserError, match="schema 99"):
        RunRecord.read(tmp_path)


def test_the_hash_names_what_is_trained_and_not_how_it_was_asked_for():
    config = {"seed": 0, "optimizer": {"lr": 0.1, "nesterov": True}}
    same = {"optimizer": {"nesterov": True, "lr": 0.1}, "seed": 0, "factors": ["seed"], "name": "other"}
    assert config_hash(config) == config_hash(same)
    assert config_hash(config) != config_hash({**config, "seed": 1})


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "f.txt"
    write_atomically(path, "old")

    def full_disk(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["f.txt"]


def test_runs_are_found_at_any_depth_in_order(tmp_path):
    for name in ("b/seed=1", "b/seed=0", "a"):
        (tmp_path / name).mkdir(parents=True)
        record().write(tmp_path / name)
    assert [str(each.relative_to(tmp_path)) for each in find_runs(tmp_path)] == ["a", "b/seed=0", "b/seed=1"]


def test_an_error_shows_its_three_parts_and_counts_when_there_are_several():
    one = Problem("optimizer.lr=-1", "a number above 0", "optimizer.lr=0.1")
    two = Problem("seed=x", "a whole number", "seed=0")
    assert str(UserError(one)) == "error: optimizer.lr=-1\n    allowed: a number above 0\n    type:    optimizer.lr=0.1"
    with pytest.raises(UserError) as caught:
        UserError.raise_all([one, two, one])
    assert str(caught.value).startswith("2 errors:\n  1. optimizer.lr=-1\n")
    UserError.raise_all([])


def test_a_config_of_before_a_key_existed_means_what_was_done_then(tmp_path):
    new = {"seed": 3, "trainer": {"compile": False, "devices": 1}}
    old = {"seed": 3, "trainer": {"devices": 1}}
    assert config_hash(new) == config_hash(old)
    assert config_hash(new) != config_hash({"seed": 3, "trainer": {"compile": True, "devices": 1}})
    record(config=old, config_hash=config_hash(old)).write(tmp_path)
    assert RunRecord.read(tmp_path).config == new
