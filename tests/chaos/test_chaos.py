"""Twelve kills of a real sweep; `make chaos` does two hundred."""

from harness import campaign


def test_a_sweep_killed_twelve_times_leaves_what_an_undisturbed_one_leaves(tmp_path):
    tally = campaign(tmp_path, kills=12, seed=7, extra=["data.num_workers=0"], most=6)
    assert tally.kills.total() == 12
    assert len(tally.kills) > 3  # commands and runs, by several signals
    assert tally.different == []
    assert (tally.runs_lost, tally.checkpoints_lost, tally.processes_left) == (0, 0, 0)
