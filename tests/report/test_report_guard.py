"""What may not be compared, and what a reader should know."""

import pytest
from synthetic_sweep import make_config, write_run, write_values

from ablate.report.analysis import Options, analyse
from ablate.report.collect import collect
from ablate.report.command import report

FACTOR = "optimizer.nesterov"
VERSIONS = {"python": "3.11.2", "torch": "2.15.0", "ablate": "0.1.0"}


def look(*folders, allow=(), **options):
    """The analysis alone: drawing the page takes longer."""
    return analyse(collect(folders), folders, Options(allow=tuple(allow), **options))


@pytest.fixture
def sweep(tmp_path):
    write_values(tmp_path, {True: [0.91, 0.92, 0.915], False: [0.90, 0.91, 0.905]}, FACTOR)
    return tmp_path


def replace_run(folder, nesterov=True, seed=1, keys=None, **changes):
    variant = {FACTOR: nesterov}
    if keys:
        changes["config"] = make_config({**variant, **keys}, seed)
    write_run(folder / f"nesterov={str(nesterov).lower()},seed={seed}", variant, seed, 0.92, **changes)


def test_a_fair_sweep_is_compared_without_a_note(sweep):
    found = look(sweep)
    assert found.refusals == ()
    assert found.notes == ()


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("optimizer.lr", {"keys": {"optimizer.lr": 0.3}}),
        ("optimizer.extra", {"keys": {"optimizer.extra": 1}}),
        ("callbacks.average._target_", {"keys": {"callbacks.average._target_": "my_package.WeightAverage"}}),
        ("git.commit", {"git": {"commit": "abc", "dirty": False}}),
        ("git.dirty", {"git": {"commit": "1f0c3a5e" * 5, "dirty": True}}),
        ("data_checksum", {"data_checksum": "other"}),
        ("device.kind", {"device": {"kind": "cuda", "name": "a processor"}}),
        ("versions.torch", {"versions": {**VERSIONS, "torch": "2.14.0"}}),
        ("initial_weights_hash", {"initial_weights_hash": "other"}),
    ],
)
def test_a_difference_that_nobody_asked_about_is_refused_by_name_and_can_be_allowed(sweep, key, changes):
    replace_run(sweep, **changes)
    refused = report([sweep])
    assert [refusal.key for refusal in refused.analysis.refusals] == [key]
    assert refused.analysis.effects == ()
    (sentence,) = refused.analysis.sentences
    assert sentence.startswith(f"No comparison: {key} differs")
    assert f"python -m ablate report {sweep} --allow {key}" in sentence
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert f"--allow {key}" in page
    assert "inconclusive</strong>" not in page

    allowed = look(sweep, allow=[key])
    assert len(allowed.effects) == 1
    assert any(note.startswith(f"Allowed by hand: {key} differs") for note in allowed.notes)


def test_a_group_of_keys_can_be_allowed_at_once(sweep):
    replace_run(sweep, versions={**VERSIONS, "torch": "2.14.0", "numpy": "2.0"}, keys={"optimizer.lr": 1})
    assert {refusal.key for refusal in look(sweep).refusals} == {"optimizer.lr", "versions.torch"}
    assert not look(sweep, allow=["versions", "optimizer"]).refusals


def test_every_mistake_is_named_at_once(sweep):
    replace_run(sweep, keys={"optimizer.lr": 0.3}, data_checksum="other", device={"kind": "cuda"})
    assert [refusal.key for refusal in look(sweep).refusals] == [
        "optimizer.lr",
        "data_checksum",
        "device.kind",
    ]


def test_bookkeeping_and_callbacks_that_only_watch_may_differ(sweep):
    keys = {
        "name": "other",
        "data.root": "/elsewhere",
        "data.num_workers": 4,
        "logger.tensorboard": None,
        "callbacks.gradcam.every_n_epochs": 1,
        "callbacks.progress._target_": "ablate.callbacks.progress.Progress",
        "report.target": 90,
    }
    replace_run(sweep, keys=keys)
    assert not look(sweep).refusals


def test_what_the_sweep_varied_may_differ_with_everything_below_it(tmp_path):
    for name, lr in (("sgd", 0.1), ("adamw", 0.001)):
        for seed in range(3):
            config = make_config({"optimizer.lr": lr, "optimizer._target_": name}, seed)
            write_run(tmp_path / f"{name}{seed}", {"optimizer": name}, seed, 0.9 + seed / 100 + lr, config=config)
    assert not look(tmp_path).refusals


def test_when_networks_are_compared_their_initial_weights_may_differ(tmp_path):
    for width in (8, 16):
        for seed in range(3):
            variant = {"model.width": width}
            write_run(
                tmp_path / f"{width}{seed}",
                variant,
                seed,
                0.9 + seed / 97 + width / 1000,
                initial_weights_hash=f"{width}{seed}",
            )
    assert not look(tmp_path).refusals


def test_runs_that_failed_are_not_compared_and_so_may_differ(sweep):
    replace_run(sweep, seed=7, status="failed", data_checksum="other", git={})
    assert not look(sweep).refusals


def test_a_repeated_run_of_other_code_is_refused_too(sweep):
    write_run(sweep / "again", {FACTOR: True}, 1, 0.99, git={"commit": "abc", "dirty": False})
    assert [refusal.key for refusal in look(sweep).refusals] == ["git.commit"]


def test_two_sweeps_of_different_code_are_refused_and_of_one_code_compared(tmp_path):
    write_values(tmp_path / "a", {True: [0.91, 0.92, 0.93]}, FACTOR)
    for seed in range(3):
        git = {"commit": "abc", "dirty": False}
        write_run(tmp_path / "b" / str(seed), {FACTOR: False}, seed, 0.9 + seed / 300, git=git)
    folders = [tmp_path / "a", tmp_path / "b"]
    refused = report(folders)
    assert [refusal.key for refusal in refused.analysis.refusals] == ["git.commit"]
    assert f"{folders[0]} {folders[1]} --allow git.commit" in str(refused)
    assert len(look(*folders, allow=["git.commit"]).effects) == 1


def test_single_runs_that_differ_in_several_keys_need_to_be_told_which_is_meant(tmp_path):
    for lr in (0.1, 0.2):
        for seed in range(3):
            config = make_config({"optimizer.lr": lr, "model.width": 160 * lr}, seed)
            write_run(tmp_path / f"{lr}{seed}", {}, seed, 0.9 + seed / 97 + lr / 10, config=config)
    (sentence,) = look(tmp_path).sentences
    assert "--factor model.width --allow optimizer.lr" in sentence
    found = look(tmp_path, factor="model.width", allow=["optimizer.lr"])
    assert found.effects[0].a.label == "width=32"


def notes_of(folder):
    return " ".join(look(folder).notes)


def test_it_warns_of_a_checkpoint_chosen_on_the_test_set(sweep):
    replace_run(sweep, checkpoint={"epoch": 3, "chosen_on": "test/accuracy"})
    assert "chosen on the test set" in notes_of(sweep)


def test_it_warns_of_a_metric_that_chose_the_checkpoint(tmp_path):
    for nesterov in (True, False):
        for seed in range(2):
            write_run(
                tmp_path / f"{nesterov}{seed}",
                {FACTOR: nesterov},
                seed,
                0.9,
                metrics={"val/accuracy": 0.9 + seed / 100},
            )
    assert "chosen by val/accuracy itself" in " ".join(look(tmp_path, metric="val/accuracy").notes)


@pytest.mark.parametrize(
    ("scheduler", "warned"),
    [
        ({"_target_": "ablate.model.schedule.one_cycle", "cycle_momentum": True}, True),
        ({"_target_": "ablate.model.schedule.one_cycle", "cycle_momentum": False}, False),
        ({"_target_": "torch.optim.lr_scheduler.OneCycleLR"}, True),  # cycles unless told not to
        ({"_target_": "ablate.model.schedule.cosine"}, False),
    ],
)
def test_it_warns_of_cycled_momentum_under_a_momentum_comparison(tmp_path, scheduler, warned):
    for nesterov in (True, False):
        for seed in range(3):
            config = make_config({FACTOR: nesterov}, seed) | {"scheduler": scheduler}
            write_run(tmp_path / f"{nesterov}{seed}", {FACTOR: nesterov}, seed, 0.9 + seed / 100, config=config)
    assert ("cycles the momentum" in notes_of(tmp_path)) == warned


def test_it_warns_of_missing_seeds_failed_runs_and_other_devices(sweep):
    replace_run(sweep, seed=3)
    replace_run(sweep, nesterov=False, seed=3, status="failed", error="out of memory", metrics={})
    replace_run(sweep, nesterov=False, seed=2, device={"kind": "cpu", "name": "another"})
    notes = notes_of(sweep)
    assert "nesterov=false has no result for seed 3" in notes
    assert "7 of 8 runs count: 1 failed" in notes
    assert "1 run broke down and cannot count" in notes
    assert "their times do not compare" in notes


def test_it_warns_when_no_seed_is_shared_and_compares_unpaired(tmp_path):
    write_values(tmp_path, {True: {0: 0.91, 1: 0.92}, False: {2: 0.90, 3: 0.91}}, FACTOR)
    assert "share no seed" in notes_of(tmp_path)
    assert not look(tmp_path).effects[0].paired


def test_it_warns_of_uncommitted_code_and_of_records_that_do_not_say(tmp_path):
    for nesterov in (True, False):
        for seed in range(2):
            git = {"commit": "abc", "dirty": True}
            write_run(
                tmp_path / f"{nesterov}{seed}", {FACTOR: nesterov}, seed, 0.9 + seed / 100, git=git, data_checksum=None
            )
    notes = notes_of(tmp_path)
    assert "uncommitted changes" in notes
    assert "Not every record says its data_checksum" in notes


@pytest.mark.parametrize(
    ("copy", "refused"), [({0.1: 0.1, 0.2: 0.2}, []), ({0.1: 0.2, 0.2: 0.1}, ["scheduler.max_lr"])]
)
def test_a_key_that_copies_the_factor_belongs_to_it(tmp_path, copy, refused):
    for lr, max_lr in copy.items():
        for seed in range(3):
            variant = {"optimizer.lr": lr}
            config = make_config({**variant, "scheduler.max_lr": max_lr}, seed)
            write_run(tmp_path / f"lr={lr},seed={seed}", variant, seed, 0.9 + lr / 10 + seed / 1000, config=config)
    assert [refusal.key for refusal in look(tmp_path).refusals] == refused
