"""Names of folders: readable where possible, safe and distinct always."""

from pathlib import Path

import pytest

from ablate.config.folders import claim, missing_of, place_problems, remove_run, run_folder, unused, variant_of


@pytest.mark.parametrize(
    ("factors", "overrides", "name"),
    [
        ([], ["optimizer.lr=0.1"], "seed=4"),
        (["optimizer.nesterov"], ["optimizer.nesterov=True"], "nesterov=true,seed=4"),
        (["model"], ["model=resnet18"], "model=resnet18,seed=4"),
        (["a.x", "b.x"], ["a.x=1", "b.x=2"], "a.x=1,b.x=2,seed=4"),
        (["optimizer.dampening"], ["+optimizer.dampening=0.5"], "dampening=0.5,seed=4"),
        (["data.root"], ["data.root=null"], "root=null,seed=4"),
        (["cam.layers"], ["cam.layers=[layer1,layer4]"], "layers=layer1+layer4,seed=4"),
        (["hydra/launcher"], ["hydra/launcher=basic"], "launcher=basic,seed=4"),
    ],
)
def test_a_run_is_named_after_what_it_varies(factors, overrides, name):
    assert run_folder(factors, 4, overrides) == name


AWKWARD = ["/data/a b", "/data/a/b", "'ünïcode'", "'x=1,y=2'", "'..'", "'${x}'", "x" * 300, "x" * 301, "'A'", "'a'"]


def test_awkward_values_become_safe_and_stay_distinct():
    names = [run_folder(["data.root"], 0, [f"data.root={value}"]) for value in AWKWARD]
    assert len(set(names)) == len(AWKWARD)
    for name in names:
        assert name.isascii()
        assert len(name) <= 120
        assert not set(name) & set("/\\ '\"$*?:")
        assert name.endswith(",seed=0")
        assert ".." not in name


def test_many_factors_are_cut_and_stay_distinct():
    keys = [f"section.some_long_key_{number}" for number in range(20)]
    names = {run_folder(keys, 0, [*(f"{key}=1" for key in keys[:-1]), f"{keys[-1]}={value}"]) for value in range(5)}
    assert len(names) == 5
    assert all(len(name) <= 120 for name in names)


def test_a_variant_has_plain_values():
    words = ["optimizer.nesterov=True", "+a.b=1e-3", "model=resnet18", "layers=[x,'y z']", "seed=3", "none=null"]
    assert variant_of(["optimizer.nesterov", "a.b", "model", "layers", "none"], words) == {
        "optimizer.nesterov": True,
        "a.b": 0.001,
        "model": "resnet18",
        "layers": ["x", "y z"],
        "none": None,
    }


def test_unused_counts_up(tmp_path: Path):
    assert unused(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").mkdir()
    assert unused(tmp_path / "run") == tmp_path / "run-3"


def test_a_folder_is_claimed_once(tmp_path: Path):
    assert [claim(tmp_path / "runs" / "x").name for _ in range(3)] == ["x", "x-2", "x-3"]


def test_a_removed_run_leaves_its_neighbours_and_no_empty_folder(tmp_path):
    (tmp_path / "there").mkdir()
    runs = tmp_path / "there" / "outputs" / "runs"
    made = missing_of(runs / "first")
    assert made == [runs / "first", runs, runs.parent]
    for folder in (runs / "first", runs / "second"):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").touch()
    remove_run(made)
    assert (runs / "second" / "deep" / "file").exists()
    assert not (runs / "first").exists()
    remove_run([runs / "second", *made[1:]])
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("file/run", "Not a directory"),
        ("file", "Not a directory"),
        ("dangling/run", "No such file or directory"),
        ("x" * 300, "the name is too long"),
        ("/proc/run", "No such file or directory"),
        ("null\0", "the name holds a null byte"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_named_and_left_as_it_was(tmp_path, monkeypatch, folder, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    (problem,) = place_problems(Path(folder), "hydra.run.dir")
    assert problem.given.startswith(f"hydra.run.dir={folder}: nothing can be written to ")
    assert reason in problem.given
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]
    assert list(place_problems(Path("new/run"), "hydra.run.dir")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_a_link_to_nowhere_counts_as_taken(tmp_path):
    (tmp_path / "run").symlink_to("nowhere")
    assert unused(tmp_path / "run") == tmp_path / "run-2"
