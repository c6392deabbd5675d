"""Eight kills of a real sweep; `make chaos` does two hundred."""

from harness import campaign

SMALL = ["data.num_workers=0", "data.source.num_train=160", "callbacks.gradcam.layers=[layer4]"]


def test_a_sweep_killed_eight_times_leaves_what_an_undisturbed_one_leaves(tmp_path):
    tally = campaign(tmp_path, kills=8, seed=7, extra=SMALL, most=4)
    assert tally.kills.total() == 8
    assert len(tally.kills) > 1  # commands and runs, by several signals
    assert tally.different == []
    assert (tally.runs_lost, tally.checkpoints_lost, tally.processes_left) == (0, 0, 0)
