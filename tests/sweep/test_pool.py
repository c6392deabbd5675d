"""Processes and slots: who runs when, and what is left of those that end in whatever way. No torch, no runs."""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.sweep.pool import Job, Pool, in_words
from ablate.sweep.slots import Slot

CONTEXT = multiprocessing.get_context("forkserver")  # as in earnest


def behave(job: Job, slot: Slot) -> None:
    os.setsid()
    faulthandler.disable()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    Path(job.folder, f"{job.name}.threads").write_text(str(slot.threads))
    action = job.words[0]
    if action == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif action.startswith("exit"):
        os._exit(int(action[4:]))
    elif action == "sleep":
        time.sleep(60)
    elif action == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(job.folder, "ignoring").touch()
        time.sleep(60)
    elif action == "leave a child":
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        Path(job.folder, "child").write_text(str(child.pid))
        os._exit(0)


def start(job: Job, slot: Slot) -> multiprocessing.process.BaseProcess:
    process = CONTEXT.Process(target=behave, args=(job, slot))
    process.start()
    return process


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.started_names: list[str] = []
        self.codes: dict[str, list[int]] = {}
        self.most_at_once = self._now = 0
        self.on_start = lambda job: None

    def started(self, job: Job) -> None:
        self.started_names.append(job.name)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        self.on_start(job)

    def ended(self, job: Job, exit_code: int) -> str:
        self._now -= 1
        self.codes.setdefault(job.name, []).append(exit_code)
        return {0: "done", -signal.SIGTERM: "interrupted"}.get(exit_code, "failed")

    def changed(self) -> None: ...

    def tick(self) -> None: ...


@pytest.fixture
def jobs(tmp_path):
    return lambda *actions: [Job(f"{number}", str(tmp_path), (action,)) for number, action in enumerate(actions)]


def test_hard_deaths_are_told_apart_and_the_others_go_on(jobs):
    notes = Notes()
    Pool([Slot(1)], start, notes).run(jobs("segfault", "exit0", "exit3", "exit0"))
    assert notes.codes == {"0": [-signal.SIGSEGV], "1": [0], "2": [3], "3": [0]}
    assert notes.most_at_once == 1


def test_as_many_run_at_once_as_there_are_slots_and_each_gets_its_threads(jobs, tmp_path):
    notes = Notes()
    Pool([Slot(3)] * 2, start, notes).run(jobs(*["exit0"] * 5))
    assert notes.most_at_once == 2
    assert sorted(notes.codes) == ["0", "1", "2", "3", "4"]
    assert {path.read_text() for path in tmp_path.glob("*.threads")} == {"3"}


def test_a_failed_run_is_tried_again_after_the_others(jobs):
    notes = Notes()
    Pool([Slot(1)], start, notes, retries=2).run(jobs("exit1", "exit0"))
    assert notes.started_names == ["0", "1", "0", "0"]
    assert notes.codes["0"] == [1, 1, 1]


def test_the_first_failure_ends_the_others_where_that_is_wanted(jobs):
    notes = Notes()
    began = time.monotonic()
    Pool([Slot(1)] * 2, start, notes, stop_on_failure=True).run(jobs("sleep", "exit1", "exit0"))
    assert notes.codes == {"0": [-signal.SIGTERM], "1": [1]}
    assert time.monotonic() - began < 30


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_a_signal_ends_what_runs_and_nothing_new_begins(jobs, tmp_path):
    notes = Notes()
    pool = Pool([Slot(1)], start, notes)

    def interrupt(job: Job) -> None:
        wait_for(tmp_path / "0.threads")
        os.kill(os.getpid(), signal.SIGINT)

    notes.on_start = interrupt
    pool.run(jobs("sleep", "exit0"))
    assert pool.received == [signal.SIGINT]
    assert notes.codes == {"0": [-signal.SIGTERM]}


def test_the_second_signal_ends_at_once_what_does_not_listen(jobs, tmp_path):
    notes = Notes()
    pool = Pool([Slot(1)], start, notes)

    def interrupt(job: Job) -> None:
        wait_for(tmp_path / "ignoring")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    notes.on_start = interrupt
    pool.run(jobs("stubborn"))
    assert notes.codes == {"0": [-signal.SIGKILL]}


def test_what_a_run_leaves_behind_ends_with_it(jobs, tmp_path):
    Pool([Slot(1)], start, Notes()).run(jobs("leave a child"))
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_handlers_of_signals_are_as_before(jobs):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Pool([Slot(1)], start, Notes()).run(jobs("exit0"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "exit code 3"), (-9, "signal 9 (SIGKILL; the kernel does this when memory runs out)"), (-11, "SIGSEGV")],
)
def test_an_end_without_a_word_is_put_in_words(code, words):
    assert words in in_words(code)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_that_comes_while_a_run_is_being_started_ends_it_too(jobs, signals):
    def start_slowly(job: Job, slot: Slot) -> multiprocessing.process.BaseProcess:
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
        return start(job, slot)

    notes, began = Notes(), time.monotonic()
    Pool([Slot(1)], start_slowly, notes).run(jobs("sleep", "sleep"))
    assert notes.started_names == ["0"]
    assert notes.codes["0"] == [-signal.SIGTERM if signals == 1 else -signal.SIGKILL]
    assert time.monotonic() - began < 30


def test_the_fork_server_of_a_sweep_does_not_hear_what_is_sent_to_the_group_of_the_command():
    script = (
        "import os, time\n"
        "from multiprocessing import forkserver\n"
        "from ablate.training import preload\n"
        "if __name__ == '__main__':\n"
        "    preload()\n"
        "    pid = forkserver._forkserver._forkserver_pid\n"
        "    while os.getsid(pid) == os.getsid(0):\n"
        "        time.sleep(0.01)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
