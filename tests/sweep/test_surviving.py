"""Sweeps whose runs fail, die or are interrupted, and what `resume` makes of them. Real commands, real signals."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from ablate.record import RunRecord
from ablate.sweep.manifest import Manifest
from typed import TINY, Done, begin, finish, typed

# A class of the user's own, in a package beside the command: ends the process in the way that its config asks for.
BREAKS = """
import os, signal, time
import pytorch_lightning as pl

class Breaks(pl.Callback):
    def __init__(self, how): self.how = how
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            if self.how == "raise": raise RuntimeError("something of the user's own")
            if self.how == "exit": os._exit(3)
            if self.how == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "diverge": module.net.fc.weight.data.fill_(float("nan"))
            if self.how == "wait" and not os.path.exists("go"):
                open("waiting", "w").close()
                while not os.path.exists("go"): time.sleep(0.01)
"""
BROKEN = ["allow_targets=[breaking]", "+callbacks.breaks._target_=breaking.Breaks"]


@pytest.fixture(scope="module", autouse=True)
def breaking(tmp_path_factory):
    """The package, where every command finds it."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "breaking.py").write_text(BREAKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def records(sweep: Path) -> dict[str, RunRecord]:
    return {path.parent.name: RunRecord.read(path.parent) for path in sorted(sweep.glob("*/run.json"))}


@pytest.fixture(scope="module")
def failures(tmp_path_factory) -> tuple[Path, Done]:
    place = tmp_path_factory.mktemp("failures")
    how = "+callbacks.breaks.how=raise,exit,segfault,diverge,none"
    return place / "sweep", typed(place, "-m", *TINY, *BROKEN, how, "hydra.sweep.dir=sweep", "n_jobs=2")


def test_one_run_failing_never_stops_the_others(failures):
    sweep, done = failures
    found = {record.variant["callbacks.breaks.how"]: record for record in records(sweep).values()}
    failed = dict.fromkeys(("raise", "exit", "segfault"), "failed")
    assert {how: record.status for how, record in found.items()} == {**failed, "diverge": "diverged", "none": "done"}
    assert done.code == 1


def test_every_end_has_its_reason_in_the_record_the_manifest_and_the_table(failures):
    sweep, done = failures
    words = {
        "raise": "RuntimeError: something of the user's own",
        "exit": "exit code 3",
        "segfault": "signal 11 (SIGSEGV",
    }
    manifest = {run.folder: run for run in Manifest.read(sweep).runs.values()}
    for name, record in records(sweep).items():
        how = record.variant["callbacks.breaks.how"]
        assert manifest[name].status == record.status
        assert manifest[name].attempts == 1
        if how in words:
            assert words[how] in (record.error or "")
            assert manifest[name].reason == record.error
            assert words[how] in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_the_traceback_of_a_failure_is_in_its_own_log(failures):
    sweep, _ = failures
    (name,) = [name for name in records(sweep) if "raise" in name]
    log = (sweep / name / "train.log").read_text()
    assert "Traceback" in log
    assert "something of the user's own" in log
    (name,) = [name for name in records(sweep) if "segfault" in name]
    assert "Segmentation fault" in (sweep / name / "train.log").read_text()


def test_a_diverged_run_keeps_its_last_good_checkpoint(failures):
    sweep, _ = failures
    (name,) = [name for name in records(sweep) if "diverge" in name]
    assert (sweep / name / "checkpoints" / "last.ckpt").is_file()
    assert records(sweep)[name].epochs == 1


def test_failed_runs_are_tried_again_only_if_that_is_wanted(failures):
    sweep, _ = failures
    before = {name: record.attempts for name, record in records(sweep).items()}
    again = typed(sweep.parent, "resume", "sweep")
    assert again.code == 1
    assert "--retry-failed" in again.output
    assert {name: record.attempts for name, record in records(sweep).items()} == before
    assert typed(sweep.parent, "resume", "sweep", "--retry-failed").code == 1
    after = {record.variant["callbacks.breaks.how"]: record.attempts for record in records(sweep).values()}
    assert after == {"raise": 2, "exit": 2, "segfault": 2, "diverge": 2, "none": 1}


@pytest.mark.parametrize(
    ("word", "failed", "other"),
    [("on_failure=stop", ("failed", 1), ("pending", 0)), ("retries=1", ("failed", 2), ("done", 1))],
)
def test_stop_on_failure_and_retries(tmp_path, word, failed, other):
    words = [*TINY, *BROKEN, "+callbacks.breaks.how=raise,none", "hydra.sweep.dir=sweep", word]
    assert typed(tmp_path, "-m", *words).code == 1
    found = {run.folder: (run.status, run.attempts) for run in Manifest.read(tmp_path / "sweep").runs.values()}
    assert found == {"how=raise,seed=0": failed, "how=none,seed=0": other}


def interrupted(place: Path, number: int, *, again: bool = False) -> Done:
    """A sweep of three seeds that gets a signal while its first run trains; or two, if that run does not end."""
    words = [*TINY, *BROKEN, "+callbacks.breaks.how=wait", "seeds=3", "hydra.sweep.dir=sweep"]
    process = begin(place, "-m", *words)
    wait_for(place / "waiting")
    os.kill(process.pid, number)
    if not again:
        (place / "go").touch()
    if again:
        process.join(1)  # two at once would be one
        os.kill(process.pid, number)
    return Done(finish(process), (place / "commands.log").read_text())


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_what_runs_and_a_resume_goes_on(tmp_path, number, code):
    done = interrupted(tmp_path, number)
    assert done.code == code
    assert "python -m ablate resume" in done.output
    found = [(run.folder, run.status) for run in Manifest.read(tmp_path / "sweep").runs.values()]
    assert found == [("seed=0", "interrupted"), ("seed=1", "pending"), ("seed=2", "pending")]
    assert typed(tmp_path, "resume", "sweep").code == 0
    found = records(tmp_path / "sweep")
    assert [(record.status, record.attempts) for record in found.values()] == [("done", 2), ("done", 1), ("done", 1)]
    assert found["seed=0"].resumed[0]["from_checkpoint"] == "last.ckpt"


def test_the_second_signal_ends_at_once(tmp_path):
    assert interrupted(tmp_path, signal.SIGINT, again=True).code == 130
    state = typed(tmp_path, "status", "sweep")
    assert "interrupted" in state.output
    assert not list(tmp_path.glob("sweep/*/lease.json")) or "running" not in state.output


def test_two_commands_on_one_sweep_are_one_too_many(tmp_path):
    words = [*TINY, *BROKEN, "+callbacks.breaks.how=wait", "seeds=2", "hydra.sweep.dir=sweep"]
    process = begin(tmp_path, "-m", *words)
    wait_for(tmp_path / "waiting")
    second = typed(tmp_path, "resume", "sweep")
    (tmp_path / "go").touch()
    assert finish(process) == 0
    assert second.code == 2
    assert f"in use by process {process.pid} on" in second.output


def test_a_command_whose_sweep_was_taken_over_stops_and_leaves_the_sweep_to_the_other(tmp_path):
    """As on a node that was away for so long that somebody has resumed its sweep elsewhere."""
    words = [*TINY, *BROKEN, "+callbacks.breaks.how=wait", "seeds=2", "hydra.sweep.dir=sweep"]
    process = begin(tmp_path, "-m", *words)
    wait_for(tmp_path / "waiting")
    lease, manifest = tmp_path / "sweep" / "lease.json", tmp_path / "sweep" / "sweep.json"
    theirs = json.dumps({**json.loads(lease.read_text()), "token": "another"})
    manifest.write_text(manifest.read_text().replace('"started"', '"theirs": 1,\n "started"'))
    before = manifest.read_bytes()
    deadline = time.monotonic() + 60
    while "has taken" not in (tmp_path / "commands.log").read_text():
        lease.write_text(theirs)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (tmp_path / "go").touch()
    assert finish(process) == 143
    assert (manifest.read_bytes(), lease.read_text()) == (before, theirs)
    assert sorted(records(tmp_path / "sweep")) == ["seed=0"]  # the second one was not begun


def test_a_sweep_is_extended_by_what_it_lacks(tmp_path):
    assert typed(tmp_path, "-m", *TINY, "seeds=2", "hydra.sweep.dir='a sweep, ü=\"1\"'").code == 0
    (sweep,) = [path.parent for path in tmp_path.glob("*/sweep.json")]
    before = {path: path.read_bytes() for path in sweep.glob("*/run.json")}
    assert typed(tmp_path, "resume", str(sweep), "seed=range(0,3)").code == 0
    assert sorted(records(sweep)) == ["seed=0", "seed=1", "seed=2"]
    assert {path: path.read_bytes() for path in before} == before
    assert typed(tmp_path, "resume", str(sweep), "optimizer.nesterov=true,false").code == 0
    found = {name: record.variant for name, record in records(sweep).items()}
    assert found["seed=0"] == {"optimizer.nesterov": False}
    assert found["nesterov=true,seed=0"] == {"optimizer.nesterov": True}
    assert len(found) == 6
    refused = typed(tmp_path, "resume", str(sweep), "seed=0")
    assert refused.code == 2
    assert "would have no run" in refused.output


def test_a_changed_config_is_refused_by_name_unless_forced(tmp_path):
    assert interrupted(tmp_path, signal.SIGTERM).code == 143
    refused = typed(tmp_path, "resume", "sweep", "optimizer.lr=0.033")
    assert refused.code == 2
    assert "optimizer.lr=0.05, now 0.033" in refused.output
    assert "--force" in refused.output
    assert typed(tmp_path, "resume", "sweep", "optimizer.lr=0.033", "--force").code == 0
    found = records(tmp_path / "sweep")
    assert "optimizer.lr=0.05, now 0.033" in found["seed=0"].resumed[0]["forced"]
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["forced"]


def test_a_single_run_goes_on_and_keeps_its_folder(tmp_path):
    process = begin(tmp_path, *TINY, *BROKEN, "+callbacks.breaks.how=wait", "trainer.max_epochs=3")
    wait_for(tmp_path / "waiting")
    os.kill(process.pid, signal.SIGTERM)
    (tmp_path / "go").touch()
    assert finish(process) == 143
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    assert RunRecord.read(folder).status == "interrupted"
    assert typed(tmp_path, "resume").code == 0  # the newest unfinished one
    assert RunRecord.read(folder).status == "done"
    assert [path.name for path in (tmp_path / "outputs" / "runs").iterdir()] == [folder.name]
    nothing = typed(tmp_path, "resume")
    assert nothing.code == 2
    assert "nothing unfinished" in nothing.output
