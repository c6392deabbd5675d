"""The benchmarks go through everything on next to nothing; their tables say what was measured, and what was not."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from ablate.commands.train import run_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _as_a_script(monkeypatch):
    """The files in benchmarks/ import each other as scripts do."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name in set(sys.modules) - before:
        if str(ROOT / "benchmarks") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_row_compares_round_by_round_and_holds_the_median_against_the_target():
    from table import Row

    # Ratios 2, 1 and 1.1: the median is 1.1, whereas the ratio of the medians would be 1.
    row = Row("x", [2.0, 4.0, 11.0], [1.0, 4.0, 10.0], "s", at_most=1.05)
    assert row.cells() == ("x", "4 s", "4 s", "1.100", "1 - 2, n=3", "<= 1.05", "NO")
    assert Row("x", [2.0, 4.0, 11.0], [1.0, 4.0, 10.0], at_least=1.1).met
    assert Row("x", [0.5], unit="s", at_most=1.0).cells() == ("x", "0.5 s", "-", "-", "n=1", "<= 1 s", "yes")


def test_what_was_not_measured_says_so_and_is_neither_met_nor_missed():
    from table import Row, markdown

    row = Row("x", at_most=1.0, unit="s")
    assert row.met is None
    assert "| not yet measured |" in markdown([row])
    assert Row("x", [3.0], unit="%").met is None  # no target


def test_the_gpu_part_goes_through_everything_tiny_on_a_cpu(monkeypatch, tmp_path):
    import gpu
    import gpu_parts
    from fresh_process import Cost

    commands = []

    def planned(words, folder):
        """Instead of a process: the command is planned and checked, and leaves what one run leaves."""
        commands.append(words)
        assert run_command(ROOT / "conf", [*words[1:], "dry_run=true"]) == 0
        run = folder / "run"
        run.mkdir(exist_ok=True)
        (run / "metrics.csv").write_text("epoch,val/accuracy\n0,0.5\n1,0.88\n")
        (run / "timings.csv").write_text("epoch,seconds\n0,2.5\n1,5.0\n")
        (run / "run.json").write_text(json.dumps({"metrics": {"test/accuracy": 0.9}}))
        return Cost(seconds=30.0 if "n_jobs=1" in words else 10.0, peak_memory=1.0)

    monkeypatch.setattr(gpu_parts, "cost", planned)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # the compiler takes a minute
    assert gpu.measure(None, tmp_path / "gpu.json", tiny=True) == 0
    written = json.loads((tmp_path / "gpu.json").read_text())
    rows = {row["what"]: row for row in written["rows"]}
    assert len(rows) == 24
    assert all(row["ours"] for row in rows.values())
    assert rows["cifar10_94, training until 87 % validation"]["ours"] == [5.0]
    assert rows["2 x 10 seeds, six at once against one after another"]["met"]  # 3 times as fast
    assert len(commands) == 3


def test_a_part_that_fails_leaves_its_rows_empty_and_the_others_go_on(monkeypatch, tmp_path, capsys):
    import gpu
    import gpu_parts
    from table import Row

    def broken():
        raise RuntimeError("no such kernel")

    parts = [
        gpu_parts.Part("first", broken, [Row("a", at_most=1.0)]),
        gpu_parts.Part("second", lambda: [Row("b", [1.0])], [Row("b")]),
    ]
    monkeypatch.setattr(gpu_parts, "parts", lambda *_, **__: parts)
    assert gpu.measure(None, tmp_path / "gpu.json", tiny=True) == 1
    assert "no such kernel" in capsys.readouterr().err
    assert [row["ours"] for row in json.loads((tmp_path / "gpu.json").read_text())["rows"]] == [[], [1.0]]


def test_the_crops_on_the_gpu_are_crops_of_the_padded_picture_and_its_mirror_image():
    import gpu_parts
    import torch

    torch.manual_seed(0)
    image = torch.arange(32 * 32 * 3, dtype=torch.int16).reshape(1, 32, 32, 3)
    padded = torch.nn.functional.pad(image, (0, 0, 4, 4, 4, 4))[0]
    windows = [padded[y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
    crops = gpu_parts._crop_and_flip(image.repeat(40, 1, 1, 1))
    mirrored = 0
    for crop in crops:
        straight = any(torch.equal(crop, window) for window in windows)
        mirrored += not straight
        assert straight or any(torch.equal(crop.flip(1), window) for window in windows)
    assert 8 < mirrored < 32
    assert len({crop.numpy().tobytes() for crop in crops}) > 20
