"""No config calls what is not on the list, however it is written."""

import functools
import sys
from pathlib import Path

import pytest

from ablate.config.check import find_problems
from ablate.config.compose import resolve
from ablate.config.nodes import KNOWN
from ablate.config.targets import instantiate, refusals
from ablate.errors import UserError

ATTACKS = [
    {"_target_": "os.system", "_args_": ["true"]},
    {"_target_": "builtins.eval", "_args_": ["1"]},
    {"_target_": "subprocess.run"},
    {"_target_": "torch.hub.load"},
    {"_target_": "torch.load"},
    {"_target_": "torch.serialization.load"},
    {"_target_": "torch.utils.cpp_extension.load"},
    {"_target_": "torch.jit.load"},
    {"_target_": "torch.package.PackageImporter"},
    {"_target_": "torch.os.system"},
    {"_target_": "torch.nn.functional.torch.load"},  # on the list by name, torch.serialization.load in truth
    {"_target_": "torch.nn.modules.module.functools.partial"},
    {"_target_": "torch.optim.optimizer.torch.hub.load"},
    {"_target_": "torch.nn.Module.__init__"},
    {"_target_": "torch.nn.modules.module._global_backward_hooks"},
    {"_target_": "torchvision.models.resnet.load_state_dict_from_url"},
    {"_target_": "ablate.data.augment.os.system"},
    {"_target_": "ablate.config.targets.instantiate", "node": {}},
    {"_target_": "ablate.commands.train.main"},
    {"_target_": "hydra.utils.get_method", "path": "os.system"},
    {"_target_": "hydra.utils.instantiate"},
    {"_target_": "functools.partial"},
    {"_target_": "pytorch_lightning.LightningModule.load_from_checkpoint"},
    {"_target_": "albumentations.os.system"},
    {"_target_": "albumentations.load", "filepath_or_buffer": "x.yaml"},
    {"_target_": "albumentations.Compose.from_pretrained"},  # a method, of a mixin that fetches
    {"_target_": "albumentations.check_version.fetch_version_info"},
    {"_target_": "torch.nn.Module.load_state_dict"},
    {"_target_": "torchvision.models.get_model", "name": "resnet18", "weights": "DEFAULT"},
    {"_target_": "torchvision.models.ResNet18_Weights.DEFAULT.get_state_dict"},
    {"_target_": "torchvision.models.detection.fasterrcnn_resnet50_fpn"},
    {"_target_": "torchmetrics.text.BERTScore"},
    {"_target_": "pytorch_lightning.loggers.MLFlowLogger", "tracking_uri": "http://127.0.0.1"},
    {"_target_": "ablate.explain.command.explain"},
    {"_target_": "hydra.utils.get_class", "path": "os.system"},
    {"_target_": "hydra.utils.get_object", "path": "os.system"},
    {"_target_": "hydra_plugins.ablate_local.local_launcher.LocalLauncher"},
    {"_target_": ""},
    {"_target_": "SGD"},
    {"_target_": "torch.optim.SGD; import os"},
    {"_target_": "torch.optim..SGD"},
    {"_target_": ["os.system"]},
    {"_target_": {"_target_": "os.system"}},
    {"_target_": None},
    {"_target_": "${oc.env:TARGET}"},
    {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.system"}]},
    {"_target_": "torch.nn.Identity", "deep": [{"down": [{"_target_": "os.system", "_partial_": True}]}]},
    {"_target_": "torch.nn.Identity", "later": "${oc.create:{_target_:os.system}}"},  # resolved once more by Hydra
]


@pytest.mark.parametrize("node", ATTACKS, ids=[str(list(node.values())) for node in ATTACKS])
def test_a_target_off_the_list_is_refused_before_anything_is_built(node, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr("hydra.utils.instantiate", never)
    with pytest.raises(UserError, match=r"_target_|unresolved"):
        instantiate(node)


@pytest.mark.parametrize("target", ["torch.hub.load", "torch.nn.functional.torch.load", "os.system"])
@pytest.mark.parametrize("place", ["model", "callbacks.spy", "augmentation.train.blur", "data.source", "logger.spy"])
def test_the_check_of_a_config_looks_everywhere(composer, place, target, monkeypatch):
    plain = resolve(composer.compose([])).plain
    section = plain
    *sections, name = place.split(".")
    for part in sections:
        section = section[part]
    section[name] = {"_target_": target}
    if place == "augmentation.train.blur" and target.startswith("torch.nn"):
        assert [each.given for each in refusals(plain)] != []  # found when the augmentation is built
    else:
        assert any(f"{place}._target_={target}" in problem.given for problem in find_problems(plain))


def test_a_target_that_an_interpolation_brings_in_is_seen(composer):
    words = ["+spare._target_=os.system", "+callbacks.spy=${spare}"]
    given = [problem.given for problem in find_problems(resolve(composer.compose(words)).plain)]
    assert any("callbacks.spy._target_=os.system" in text or "spare._target_=os.system" in text for text in given)


@pytest.mark.parametrize(
    "argument", [{"weights": "DEFAULT"}, {"weights_backbone": "DEFAULT"}, {"pretrained": True}, {"_args_": [True]}]
)
def test_torchvision_fetches_no_weights(composer, argument):
    node = {"_target_": "torchvision.models.resnet18", **argument}
    with pytest.raises(UserError, match="could download weights"):
        instantiate(node)
    problems = find_problems(resolve(composer.compose([])).plain | {"model": node})
    assert any("could download weights" in each.given for each in problems)
    assert list(refusals(node, ["torchvision.models"])) == []  # named on the command line
    assert list(refusals({"_target_": "torchvision.models.resnet18", "weights": None})) == []


def test_loggers_that_talk_to_a_server_must_be_allowed():
    (problem,) = refusals({"_target_": "pytorch_lightning.loggers.WandbLogger"})
    assert "if it may use the network" in problem.fix
    assert list(refusals({"_target_": "pytorch_lightning.loggers.WandbLogger"}, ["pytorch_lightning.loggers"])) == []
    assert list(refusals({"_target_": "pytorch_lightning.loggers.CSVLogger"})) == []


def test_every_known_target_is_on_the_list_and_there():
    known = [target for targets in KNOWN.values() for target in targets]
    assert len(known) == 22
    for target in known:
        assert list(refusals({"_target_": target})) == []


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_nets.py").write_text(
        "import os\n"
        "class Net:\n    def __init__(self, num_classes, width=3):\n        self.size = (num_classes, width)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_nets"
    sys.modules.pop("own_nets", None)


def test_a_package_of_ones_own_is_built_once_it_is_allowed(own_package):
    node = {"_target_": "own_nets.Net", "width": 5}
    with pytest.raises(UserError, match=r"allow_targets=\[own_nets\], if you trust it"):
        instantiate(node, num_classes=2)
    assert instantiate(node, [own_package], num_classes=2).size == (2, 5)
    with pytest.raises(UserError, match=r"own_nets\.os\.system"):
        instantiate({"_target_": "own_nets.os.system"}, [own_package])


def test_a_partial_node_waits_for_its_arguments():
    import torch

    build = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5, "momentum": 0.9})
    assert isinstance(build, functools.partial)
    optimizer = build([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["lr"] == 0.5


def test_arguments_reach_the_target_as_they_are():
    import torch

    given = torch.nn.Conv2d(1, 1, 1)
    made = instantiate({"_target_": "torch.nn.ModuleDict"}, modules={"conv": given})
    assert made["conv"] is given


def test_what_a_target_raises_comes_through():
    with pytest.raises(ValueError, match="depth=19"):
        instantiate({"_target_": "ablate.model.resnet.resnet", "depth": 19}, num_classes=2)
