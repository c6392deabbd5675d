"""The sweep itself, as a user types it: in a process of its own, on a network small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.record import RunRecord, config_hash
from typed import LOG, typed

TRAIN = Path(__file__).parents[2] / "train.py"
SMALL = ["experiment=smoke", "callbacks=none"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two arms, two seeds."""
    place = tmp_path_factory.mktemp("place")
    words = [sys.executable, TRAIN, "-m", "optimizer.nesterov=true,false", "seeds=2", *SMALL]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (place / "outputs" / "sweeps").iterdir()
    return folder, done


NAMES = ["nesterov=true,seed=0", "nesterov=true,seed=1", "nesterov=false,seed=0", "nesterov=false,seed=1"]


def test_every_run_has_a_folder_that_reads_well_and_a_record_that_is_done(sweep):
    folder, _ = sweep
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(NAMES)
    for name in NAMES:
        record = RunRecord.read(folder / name)
        assert record.status == "done"
        assert name == f"nesterov={str(record.variant['optimizer.nesterov']).lower()},seed={record.seed}"


def test_arms_are_paired(sweep):
    folder, _ = sweep
    hashes = {name: RunRecord.read(folder / name).initial_weights_hash for name in NAMES}
    assert hashes[NAMES[0]] == hashes[NAMES[2]] != hashes[NAMES[1]] == hashes[NAMES[3]]
    assert len({RunRecord.read(folder / name).config_hash for name in NAMES}) == 4


def test_the_manifest_names_what_was_planned(sweep):
    folder, _ = sweep
    manifest = json.loads((folder / "sweep.json").read_text())
    assert manifest["command"].startswith("python train.py -m optimizer.nesterov=true,false")
    assert [run["folder"] for run in manifest["runs"].values()] == NAMES
    for digest, run in manifest["runs"].items():
        record = RunRecord.read(folder / run["folder"])
        assert digest == record.config_hash == config_hash(record.config)
        assert (run["status"], run["attempts"]) == ("done", 1)


def test_it_ends_in_a_table_a_verdict_and_the_way_to_the_dashboards(sweep):
    folder, done = sweep
    shown = done.stdout
    for name in NAMES:
        assert name in shown
    assert "nesterov=true - nesterov=false:" in shown
    assert "2 paired seeds" in shown
    assert f"-m ablate board outputs/sweeps/{folder.name}" in shown
    for name in ("report.html", "report.md", "report.json", "results.csv"):
        assert (folder / name).stat().st_size > 0, name


def test_a_run_that_cannot_read_its_data_is_a_sentence_and_the_exit_code_says_so(tmp_path):
    (tmp_path / "pictures" / "train" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "test" / "cat").mkdir(parents=True)
    done = typed(tmp_path, "data=image_folder", f"data.root={tmp_path / 'pictures'}", *SMALL)
    assert done.code == 2
    assert "Traceback" not in done.output
    assert "cat" in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", LOG}
