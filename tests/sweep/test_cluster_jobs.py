"""The jobs of a sweep on a cluster: found again, never submitted twice, waited for. No SLURM is needed here."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_slurm import FakeSlurm

from ablate.cluster import follow, launch
from ablate.cluster.follow import Following
from ablate.cluster.jobs import FILE_NAME, Submission, read_jobs, where, write_jobs
from ablate.cluster.launch import Cluster, find_jobs, hand_over
from ablate.cluster.slurm import NoAnswerError, Place
from ablate.cluster.task import Task, _wait_for_the_last_node
from ablate.errors import UserError
from ablate.record import RunRecord
from ablate.sweep.pool import Job
from ablate.sweep.state import state_of

ON_SLURM = {"hydra/launcher": "submitit_slurm"}
TWO = Submission("ablate-0a", ("seed=0", "seed=1"), (0, 0), "7")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return FakeSlurm(tmp_path / "bin", monkeypatch)


def record(folder: Path, status: str, **more) -> None:
    folder.mkdir(exist_ok=True)
    RunRecord("ablate", 0, {}, {}, "c0ffee", status=status, **more).write(folder)


def task(name: str) -> Task:
    return Task("conf", "train.py", "/", f"/{name}", ("seed=0",))


def test_jobs_are_read_as_they_were_written(tmp_path):
    write_jobs(tmp_path, [TWO])
    assert read_jobs(tmp_path) == (TWO,)
    (tmp_path / FILE_NAME).write_text('{"submissions": [{}]}')
    with pytest.raises(UserError, match="squeue --me"):
        read_jobs(tmp_path)


def test_each_run_is_where_its_last_job_is(slurm):
    again = Submission("ablate-0b", ("seed=1",), (1,), "9")
    slurm.says(
        "squeue", "ablate-0a|7_0|0|RUNNING|None\nablate-0a|7_1|1|FAILED|None\nablate-0b|9|N/A|PENDING|Priority\n"
    )
    assert where([TWO, again]) == {
        "seed=0": Place("7_0", "RUNNING", "None"),
        "seed=1": Place("9", "PENDING", "Priority"),
    }


def test_what_slurm_has_forgotten_is_over(slurm):
    found = where([TWO])
    assert found["seed=1"] == Place("7_1", "")
    assert found["seed=1"].is_over


def test_a_job_whose_number_nobody_has_noted_is_found_by_its_name(slurm, tmp_path):
    write_jobs(tmp_path, [Submission(TWO.name, TWO.runs, TWO.attempts)])
    slurm.says("squeue", "ablate-0a|7_0|0|COMPLETED|None\nablate-0a|7_1|1|PENDING|Resources\n")
    assert find_jobs(tmp_path, ON_SLURM).there == {"seed=1"}


def test_a_run_that_is_done_is_not_waited_for(slurm, tmp_path):
    write_jobs(tmp_path, [TWO])
    record(tmp_path / "seed=0", "done")
    slurm.says("squeue", "ablate-0a|7_0|0|COMPLETING|None\n")
    assert find_jobs(tmp_path, ON_SLURM).there == frozenset()


def test_runs_on_the_cluster_are_not_trained_here_too(slurm, tmp_path):
    write_jobs(tmp_path, [TWO])
    slurm.says("squeue", "ablate-0a|7_0|0|RUNNING|None\n")
    with pytest.raises(UserError, match="are on the cluster") as caught:
        find_jobs(tmp_path, {"hydra/launcher": "local"})
    assert caught.value.problems[0].fix == "scancel 7_0"


def test_without_an_answer_nothing_is_submitted_again(slurm, tmp_path):
    write_jobs(tmp_path, [TWO])
    slurm.fails("squeue", "Unable to contact slurm controller")
    with pytest.raises(UserError, match="does not answer"):
        find_jobs(tmp_path, ON_SLURM)
    assert find_jobs(tmp_path, {"hydra/launcher": "local"}).there == frozenset()


def test_a_job_is_noted_before_it_exists(tmp_path, monkeypatch):
    seen = []

    def submit(settings, logs, name, tasks):
        seen.append(json.loads((tmp_path / FILE_NAME).read_text())["submissions"][0])
        return "12"

    monkeypatch.setattr(launch, "submit", submit)
    cluster = hand_over(tmp_path, tmp_path, Cluster({"name": "ablate"}), {"seed=0": task("seed=0")})
    assert (seen[0]["runs"], seen[0]["job"]) == (["seed=0"], None)
    (noted,) = read_jobs(tmp_path)
    assert (noted.name, noted.job) == (seen[0]["name"], "12")
    assert (cluster.there, cluster.scancel()) == ({"seed=0"}, "scancel 12")


def test_a_job_that_slurm_refuses_is_not_noted(tmp_path, monkeypatch):
    def submit(*_):
        raise UserError.of("refused", "less", "wait")

    monkeypatch.setattr(launch, "submit", submit)
    with pytest.raises(UserError):
        hand_over(tmp_path, tmp_path, Cluster({"name": "ablate"}), {"seed=0": task("seed=0")})
    assert read_jobs(tmp_path) == ()


class Watched:
    """What the command of a sweep is told, in place of its display and manifest."""

    def __init__(self) -> None:
        self.ended, self.deaths, self._running = [], {}, set()
        self.display = SimpleNamespace(say=lambda line: None)

    def started(self, job):
        self._running.add(job.name)

    def is_running(self, job):
        return job.name in self._running

    def ends(self, job, was_watched):
        self.ended.append(job.name)

    def died(self, job, status, reason):
        self.deaths[job.name] = (status, reason)

    def changed(self):
        pass

    def tick(self):
        pass


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """Follow one run through these answers of SLURM's, the last of which goes on; what was told."""

    def through(*answers, attempts=0, act=lambda number: None):
        asked = []

        def places(_names):
            asked.append(None)
            act(len(asked))
            state = answers[min(len(asked), len(answers)) - 1]
            if isinstance(state, Exception):
                raise state
            return {("ablate-0a", 0): Place("7", state)} if state else {}

        monkeypatch.setattr(follow, "ASK_SECONDS", (0.0, 0.0))
        monkeypatch.setattr(follow, "TICK_SECONDS", 0.0)
        monkeypatch.setattr("ablate.cluster.jobs.places", places)
        monkeypatch.setattr("ablate.cluster.slurm.last_state", lambda job: "")
        watched, job = Watched(), Job("seed=0", str(tmp_path / "seed=0"), ())
        submission = Submission("ablate-0a", ("seed=0",), (attempts,), "7")
        Following(watched, {"seed=0": job}, (submission,), tmp_path).until_they_end()
        assert watched.ended == ["seed=0"]
        return watched.deaths.get("seed=0")

    return through


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        ("CANCELLED", "interrupted", "CANCELLED"),
        ("NODE_FAIL", "interrupted", "NODE_FAIL"),
        ("TIMEOUT", "interrupted", "TIMEOUT"),
        ("FAILED", "failed", "FAILED"),
        ("OUT_OF_MEMORY", "failed", "OUT_OF_MEMORY; hydra.launcher.mem_gb asks for more memory"),
        ("", "failed", "unknown to SLURM by now"),
    ],
)
def test_a_job_that_is_over_without_a_word_of_its_run(followed, state, status, words):
    said, reason = followed("PENDING", "RUNNING", state)
    assert said == status
    assert reason.startswith(f"its job 7 ended without a word of it: {words}")


def test_a_run_that_says_how_it_ended_is_believed(followed, tmp_path):
    record(tmp_path / "seed=0", "failed", error="no such file")
    assert followed("FAILED") is None


def test_a_job_that_looks_over_while_it_is_requeued(followed, tmp_path):
    def act(number):
        if number == 5:
            record(tmp_path / "seed=0", "done", attempts=2)

    assert followed("RUNNING", "PREEMPTED", "PENDING", "RUNNING", "COMPLETED", act=act) is None
    assert state_of(tmp_path / "seed=0").status == "done"


def test_silence_of_slurm_is_waited_out(followed, tmp_path):
    def act(number):
        if number == 3:
            record(tmp_path / "seed=0", "done")

    assert followed("RUNNING", NoAnswerError("timed out"), NoAnswerError("timed out"), "COMPLETED", act=act) is None


def test_a_failure_of_the_time_before_is_no_end(followed, tmp_path):
    record(tmp_path / "seed=0", "failed", error="of the time before")

    def act(number):
        if number == 3:
            record(tmp_path / "seed=0", "done", attempts=2)

    assert followed("PENDING", "RUNNING", attempts=1, act=act) is None


def test_a_second_attempt_that_never_began_has_failed_anew(followed, tmp_path):
    record(tmp_path / "seed=0", "failed", error="of the time before")
    assert followed("FAILED", attempts=1) is not None


def test_a_run_waits_until_its_vanished_node_is_known_to_be_gone(monkeypatch, tmp_path):
    answers = iter([object(), object(), None])
    monkeypatch.setattr("ablate.cluster.task.holder", lambda folder: next(answers))
    monkeypatch.setattr("ablate.cluster.task.time.sleep", lambda seconds: None)
    _wait_for_the_last_node(tmp_path)
    assert next(answers, "asked three times") == "asked three times"
