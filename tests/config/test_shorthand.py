"""Words about the command: seeds=N and dry_run=true."""

import subprocess
import sys

import pytest

from ablate.config.shorthand import ON_SLURM, expand
from typed import CONF, TINY, typed


def test_seeds_is_a_range_and_the_rest_stays_as_it_is():
    words = expand(["optimizer.nesterov=true,false", "seeds=3", "+a.seeds=4"])
    assert words.overrides == ["optimizer.nesterov=true,false", "seed=range(0,3)", "+a.seeds=4"]
    assert (words.dry_run, words.problems) == (False, [])


def test_on_slurm_n_jobs_is_how_many_tasks_of_the_array_run_at_once():
    words = [ON_SLURM, "n_jobs=4"]
    assert expand(words).overrides == [ON_SLURM, "hydra.launcher.array_parallelism=4"]
    assert expand(["n_jobs=4"], before=[ON_SLURM]).overrides == ["hydra.launcher.array_parallelism=4"]
    assert expand([*words, "hydra/launcher=local"]).overrides[1] == "hydra.launcher.n_jobs=4"


@pytest.mark.parametrize("word", ["retries=1", "on_failure=stop"])
def test_keys_of_the_local_launcher_are_refused_on_slurm(word):
    overrides, _, (problem,) = expand([word, ON_SLURM])
    assert overrides == [ON_SLURM]
    assert problem.given == word
    assert "resume SWEEP --retry-failed" in problem.fix


@pytest.mark.parametrize(("word", "asked"), [("dry_run=true", True), ("dry_run=True", True), ("dry_run=false", False)])
def test_dry_run_is_taken_out(word, asked):
    assert expand([word, "seed=1"]) == (["seed=1"], asked, [])


@pytest.mark.parametrize("word", ["seeds=0", "seeds=-1", "seeds=x", "seeds=", "seeds=1.5", "dry_run=1", "dry_run="])
def test_what_is_neither_is_named(word):
    words = expand([word])
    assert words.overrides == []
    assert [problem.given for problem in words.problems] == [word]


def test_a_dry_run_shows_every_run_with_its_cost_and_leaves_nothing(tmp_path):
    words = ["-m", *TINY, "optimizer.nesterov=true,false", "seeds=2", "dry_run=true"]
    command = [sys.executable, CONF.parent / "train.py", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("nesterov=true,seed=0", "nesterov=true,seed=1", "nesterov=false,seed=0", "nesterov=false,seed=1"):
        assert name in done.stdout
    assert "4 runs, about" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_wrong_command_is_wrong(tmp_path):
    done = typed(tmp_path, "dry_run=true", "optimizer.lr=-1", "seeds=none")
    assert done.code == 2
    assert "optimizer.lr=-1" in done.output
