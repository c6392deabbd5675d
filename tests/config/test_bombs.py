"""A YAML file that grows when it is read is found without reading it."""

import time
from pathlib import Path

import pytest

from ablate.config import bombs as bombs_file
from ablate.config.bombs import bombs
from ablate.config.compose import Composer
from ablate.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
# 9 values, then nine times as many a line: 9^10 of them in the end
LAUGHS = "a0: &a0 [l,l,l,l,l,l,l,l,l]\n" + "".join(
    f"a{number + 1}: &a{number + 1} [{','.join([f'*a{number}'] * 9)}]\n" for number in range(9)
)


def test_a_file_that_would_be_millions_of_values_is_refused_at_once(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "laughs.yaml").write_text(LAUGHS)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"laughs\.yaml holds too much\n    allowed: up to 100,000 values"):
        Composer(CONF, extra=tmp_path)
    assert time.monotonic() - start < 2


def test_values_are_counted_as_they_would_be_made(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("a: &a [1, 2]\nb: {x: *a, y: *a}\nc: *nowhere\n")
    counts = []
    monkeypatch.setattr(bombs_file, "MAX_VALUES", 0)
    monkeypatch.setattr(
        bombs_file, "_num_values", lambda content, count=bombs_file._num_values: counts.append(count(content)) or 0
    )
    assert list(bombs(tmp_path)) == []
    # the mapping, a and its 3, b and its mapping with x and y and twice 3, c and one
    assert counts == [1 + 1 + 3 + 1 + 1 + 2 + 6 + 2]


def test_a_long_file_and_a_crowded_folder_are_refused(tmp_path, monkeypatch):
    (tmp_path / "long.yaml").write_text("- 1\n" * 100_001)
    assert [problem.given for problem in bombs(tmp_path)] == [f"{tmp_path}/long.yaml holds too much"]
    monkeypatch.setattr(bombs_file, "MAX_FILES", 1)
    (tmp_path / "more.yaml").write_text("")
    assert "more than 1 YAML files" in list(bombs(tmp_path))[-1].given


def test_files_that_are_no_yaml_are_left_to_hydra(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe* \x00")
    (tmp_path / "b.yaml").write_text("a: [*b\n")
    assert list(bombs(tmp_path)) == []
    assert list(bombs(CONF)) == []
