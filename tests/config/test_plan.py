"""What a command will do: which runs, under which names, where."""

import re
from pathlib import Path

import pytest

from ablate.config.compose import Composer
from ablate.config.plan import compose, plan
from ablate.errors import UserError
from ablate.record import FILE_NAME, MANIFEST_NAME, config_hash

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def _somewhere_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_single_run_goes_to_a_folder_of_its_name_time_and_hash(composer):
    planned = plan(composer, ["name=mine", "optimizer.lr=0.2"])
    (config,) = planned.runs.values()
    assert not planned.sweep
    assert planned.folder.parent == Path("outputs/runs")
    assert re.fullmatch(r"mine-\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-[0-9a-f]{6}", planned.folder.name)
    assert planned.folder.name.endswith(config_hash(config.plain)[:6])
    assert planned.words_for(Path("x")) == ["name=mine", "optimizer.lr=0.2", "hydra.run.dir='x'"]


def test_planning_creates_nothing(composer):
    plan(composer, ["seed=0,1"], multirun=True)
    assert list(Path.cwd().iterdir()) == []


def test_a_sweep_is_the_product_of_its_values_in_the_order_of_hydra(composer):
    planned = plan(composer, ["optimizer.nesterov=true,false", "seed=range(0,2)"], multirun=True)
    assert planned.sweep
    assert list(planned.runs) == [
        "nesterov=true,seed=0",
        "nesterov=true,seed=1",
        "nesterov=false,seed=0",
        "nesterov=false,seed=1",
    ]
    assert [(config.optimizer["nesterov"], config.seed) for config in planned.runs.values()] == [
        (True, 0),
        (True, 1),
        (False, 0),
        (False, 1),
    ]
    assert all(config.factors == ["optimizer.nesterov"] for config in planned.runs.values())
    assert re.fullmatch(r"outputs/sweeps/ablate-\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", str(planned.folder))
    assert "factors=[optimizer.nesterov]" in planned.words


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["seed=3,1"], ["seed=3", "seed=1"]),
        (["model=resnet18,gbn_resnet18"], ["model=resnet18,seed=0", "model=gbn_resnet18,seed=0"]),
        (["model=glob(gbn_resnet18*)"], ["model=gbn_resnet18,seed=0", "model=gbn_resnet18_slim,seed=0"]),
        (["optimizer.lr=choice(0.1,1e-3)"], ["lr=0.1,seed=0", "lr=0.001,seed=0"]),
        (["+optimizer.dampening=0,0.5"], ["dampening=0,seed=0", "dampening=0.5,seed=0"]),
        (["seed=7", "report.target=null,87"], ["target=null,seed=7", "target=87,seed=7"]),
    ],
)
def test_every_kind_of_sweep_gets_readable_names(composer, words, names):
    assert list(plan(composer, words, multirun=True).runs) == names


def test_an_experiment_can_be_a_sweep_by_itself_and_the_command_line_overrides_its_values(composer):
    planned = plan(composer, ["experiment=nesterov_vs_momentum"])
    assert planned.sweep
    assert len(planned.runs) == 20
    assert planned.folder.name.startswith("nesterov_vs_momentum-")
    assert len(plan(composer, ["experiment=nesterov_vs_momentum", "seed=0,1,2"]).runs) == 6
    one_arm = plan(composer, ["experiment=nesterov_vs_momentum", "optimizer.nesterov=true"])
    assert list(one_arm.runs)[:2] == ["seed=0", "seed=1"]


def test_arms_differ_in_their_factor_and_seeds_in_the_seed(composer):
    words = ["optimizer.nesterov=true,false", "seed=0,1", "data=shapes", "data.source.seed='${seed}'"]
    runs = plan(composer, words, multirun=True).runs
    assert [config.data.source["seed"] for config in runs.values()] == [0, 1, 0, 1]
    first, second, third, _ = (config.plain for config in runs.values())
    assert {key for key in first if first[key] != third[key]} == {"optimizer"}
    assert {key for key in first if first[key] != second[key]} == {"seed", "data"}


def test_runs_of_one_second_stay_apart(composer, monkeypatch):
    from omegaconf import OmegaConf

    composer.compose([])  # registers `now`
    OmegaConf.register_new_resolver("now", lambda _: "NOW", replace=True)
    first = plan(composer, []).folder
    first.mkdir(parents=True)
    second = plan(composer, []).folder
    second.mkdir()
    assert second == first.with_name(f"{first.name}-2")
    assert plan(composer, []).folder == first.with_name(f"{first.name}-3")
    Composer(CONF)  # puts `now` back


def test_a_sweep_takes_no_folder_of_another_one(composer):
    Path("there").mkdir()
    Path("there", MANIFEST_NAME).write_text("{}")
    with pytest.raises(UserError, match=r"there holds a sweep[^!]*python -m ablate resume 'there'"):
        plan(composer, ["seed=5,6", "hydra.sweep.dir=there"], multirun=True)


def test_a_folder_that_was_typed_is_taken_unless_it_holds_a_run(composer, monkeypatch):
    assert plan(composer, ["hydra.run.dir=here"]).folder == Path("here")
    Path("here").mkdir()
    assert plan(composer, ["hydra.run.dir=here"]).folder == Path("here")
    Path("here", FILE_NAME).write_text("{}")
    with pytest.raises(UserError, match=r"hydra\.run\.dir=here: here holds a run[^!]*hydra\.run\.dir=here-2"):
        plan(composer, ["hydra.run.dir=here"])
    monkeypatch.setenv("LOCAL_RANK", "1")  # a further process of the run that is there
    assert plan(composer, ["hydra.run.dir=here"]).folder == Path("here")


def test_a_quote_in_a_folder_survives(composer):
    planned = plan(composer, ['hydra.run.dir="it\'s here"'])
    assert composer.compose(planned.words_for(planned.folder)).hydra.run.dir == "it's here"


def test_more_config_can_lie_elsewhere(tmp_path):
    own = tmp_path / "own"
    (own / "model").mkdir(parents=True)
    (own / "model" / "wide.yaml").write_text("defaults:\n  - gbn_resnet18\n  - _self_\nwidth: 128\n")
    (config,) = plan(Composer(CONF, extra=own), ["model=wide"]).runs.values()
    assert (config.model["width"], config.model["depth"]) == (128, 18)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("model/mine", "width: [1, 2", "expected ',' or ']'"),
        ("model/mine", "defaults:\n  - gbn_resnet19\n", "Could not load 'model/gbn_resnet19'"),
        ("experiment/mine", "# @package _global_\ndefaults:\n  - override /modle: resnet18\n", "override 'modle'"),
        ("experiment/mine", "# @package _global_\noptimiser:\n  lr: 1\n", "optimiser={lr:1}: no such key"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path, file, content, reason):
    path = tmp_path / "own" / f"{file}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(UserError) as error:
        plan(Composer(CONF, extra=tmp_path / "own"), [file.replace("/", "=")])
    assert reason in str(error.value)
    assert (
        f"correct {file}.yaml" in str(error.value)
        or "~optimiser" in str(error.value)
        or "optimizer=" in str(error.value)
    )


def test_a_network_that_we_do_not_know_is_built_on_trial(composer):
    words = ["~model.depth", "~model.width", "~model.ghost_size", "model._target_=torchvision.models.resnet18"]
    assert plan(composer, words).runs
    with pytest.raises(UserError, match="unexpected keyword argument 'wide'"):
        plan(composer, [*words, "+model.wide=3"])
    with pytest.raises(UserError, match=r"callbacks\.gradcam\.layers has 'layer5'"):
        plan(composer, [*words, "callbacks.gradcam.layers=[layer5]"])


def test_a_notebook_composes_one_checked_config():
    config = compose(CONF, ["data=cifar10", "optimizer.lr=0.2"])
    assert (config.data.root, config.scheduler["max_lr"]) == ("data", 0.2)
    assert config.plain["optimizer"]["lr"] == 0.2
    with pytest.raises(UserError, match="one value in a single run"):
        compose(CONF, ["seed=0,1"])
    with pytest.raises(UserError, match="words for a single run"):
        compose(CONF, ["experiment=nesterov_vs_momentum"])
