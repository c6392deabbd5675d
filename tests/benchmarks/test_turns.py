"""Loops that take turns: each alone while it has one, paired batch by batch; one that dies ends them all."""

import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def turns(monkeypatch):
    """The files in benchmarks/ import each other as scripts do."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import turns

    yield turns
    assert not multiprocessing.active_children()
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def sleeper(seconds, log):
    """Batches of a known cost; says when it begins and ends one."""
    from turns import at_batch

    while True:
        at_batch()
        with log.open("a") as file:
            print(os.getpid(), time.monotonic(), file=file)
            time.sleep(seconds)
            print(os.getpid(), time.monotonic(), file=file)


def mortal(num_batches, end):
    from turns import at_batch

    for _ in range(num_batches):
        at_batch()
    end()


def fail():
    raise OSError("no such disk")


def test_loops_of_a_known_cost_have_their_known_ratio_and_never_work_at_once(turns, tmp_path):
    log = tmp_path / "log"
    costs = {"a": 0.02, "b": 0.04, "c": 0.02}
    taken = turns.take_turns({name: partial(sleeper, cost, log) for name, cost in costs.items()}, 6, warm_up=2)
    assert {name: len(each.seconds) for name, each in taken.items()} == {"a": 6, "b": 6, "c": 6}
    assert min(taken["b"].seconds) >= costs["b"]
    assert taken["b"].typical() / taken["a"].typical() == pytest.approx(2, rel=0.25)

    lines = [line.split() for line in log.read_text().splitlines()]
    order = [pid for pid, _ in lines[::2]]  # two lines a batch
    assert [pid for pid, _ in lines] == [pid for pid in order for _ in range(2)]  # no two of them mixed
    assert [float(moment) for _, moment in lines] == sorted(float(moment) for _, moment in lines)
    a, b, c = order[:3]
    assert order == [a, b, c, b, c, a, c, a, b] * 2 + [a, b, c, b, c, a]  # two turns that do not count, then six


def test_a_typical_batch_has_what_comes_every_time_and_not_what_came_once(turns):
    # every third batch logs; the machine stopped for nine seconds, once in a first and once in a last one
    taken = turns.Taken([1.0, 1.0, 2.5, 10.0, 1.0, 2.5, 1.0, 1.0, 11.5])
    assert taken.typical(3) == 1.5


@pytest.mark.parametrize(
    ("num_batches", "end", "word"),
    [
        (0, fail, "'b' failed:(.|\n)*OSError: no such disk"),
        (5, partial(os._exit, 7), "'b' ended with exit code 7"),
        (5, int, "'b' ended before its turns were over"),
    ],
    ids=["fails", "dies", "ends"],
)
def test_a_loop_that_dies_ends_them_all_with_its_error(turns, tmp_path, num_batches, end, word):
    waits = partial(sleeper, 0.001, tmp_path / "log")
    with pytest.raises(RuntimeError, match=word):
        turns.take_turns({"a": waits, "b": partial(mortal, num_batches, end), "c": waits}, 5, warm_up=2)


def test_a_loop_that_is_killed_while_it_waits_ends_them_all(turns, tmp_path):
    log = tmp_path / "log"
    waits = partial(sleeper, 0.001, log)
    with pytest.raises(RuntimeError, match="'a' ended with exit code -9"):
        turns.take_turns({"a": waits, "b": partial(killer, log)}, 5, warm_up=1)


def killer(log):
    """Kills the one that has written in the log."""
    from turns import at_batch

    at_batch()
    os.kill(int(log.read_text().split()[0]), signal.SIGKILL)
    while True:
        at_batch()


def test_what_a_loop_returns_comes_back_and_outside_of_turns_nothing_is_handed_on(turns):
    turns.at_batch()
    taken = turns.take_turns({"a": one_that_returns, "b": one_that_returns}, 1, warm_up=1)
    assert [each.returned for each in taken.values()] == ["done", "done"]


def one_that_returns():
    """As `run` does, it makes a result of the exception that ends it."""
    from turns import Over, at_batch

    try:
        while True:
            at_batch()
    except Over:
        return "done"


def test_a_whole_run_hands_its_turn_on_at_every_batch_and_its_checkpoint_is_timed(turns, monkeypatch, tmp_path):
    import training_loop

    begun = []

    def at_batch():
        begun.append(1)
        if len(begun) == 3:
            raise turns.Over

    monkeypatch.setattr("turn_callback.at_batch", at_batch)
    seconds = training_loop.whole_run(training_loop.Size(width=2, batch=32, batches=5), tmp_path / "run")
    assert len(begun) == 3
    assert seconds > 0
    assert {each.name for each in (tmp_path / "run" / "checkpoints").glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
