"""Every file of conf/ composes, passes the check and builds."""

from pathlib import Path

import pytest

from ablate.config.compose import Composer, checked, resolve
from ablate.config.schema import Config
from ablate.config.targets import instantiate

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.glob("*/*.yaml"))
OF_HYDRA = {
    "hydra/job_logging/ablate",
    "hydra/hydra_logging/ablate",
    "hydra/launcher/local",
    "hydra/launcher/submitit_slurm",
}  # in every config that is composed here


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
    return tmp_path


def composed(composer: Composer, option: str, pictures: Path) -> Config:
    words = [option.replace("/", "=")]
    if option == "data/image_folder":
        words.append(f"data.root='{pictures}'")
    return checked(composer.compose(words))


def test_no_file_is_left_out():
    files = {path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml")}
    assert files == {*OPTIONS, *OF_HYDRA, "config"}
    assert len(files) == 40


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_opens_with_what_it_is(option):
    lines = (CONF / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    head = lines[1] if option.startswith("experiment/") else lines[0]
    assert head.startswith("# ")
    assert head.removeprefix("# ")[0].isupper() or head.startswith("# scikit-learn")
    if option.startswith("experiment/"):
        assert lines[0] == "# @package _global_"
        comment = "\n".join(line for line in lines if line.startswith("#"))
        assert f"experiment={Path(option).name}" in comment
        assert "Cost: " in comment


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_composes_passes_the_check_and_builds(composer, option, pictures):
    import torch

    from ablate.data.augment import Augmentation

    config = composed(composer, option, pictures)
    source = instantiate(config.data.source)
    assert source.image_size == config.data.image_size
    with torch.device("meta"):
        net = instantiate(config.model, num_classes=10)
    optimizer = instantiate(config.optimizer)(net.parameters())
    scheduler = instantiate(config.scheduler)(optimizer, total_steps=100, num_epochs=10)
    assert scheduler.get_last_lr()[0] > 0
    sides = (config.augmentation.train, config.augmentation.test)
    train, test = ({name: instantiate(node) for name, node in side.items()} for side in sides)
    assert len(Augmentation(train, test, image_size=config.data.image_size).mean) == 3
    assert all(instantiate(node) is not None for node in config.callbacks.values())
    assert all(instantiate(node, save_dir=pictures) is not None for node in config.logger.values())


def test_the_default_is_the_slim_network_on_the_digits(composer):
    config = checked(composer.compose([]))
    assert config.data.source["_target_"] == "ablate.data.digits.Digits"
    assert (config.model["depth"], config.model["width"], config.model["ghost_size"]) == (18, 16, 32)
    assert (config.optimizer["momentum"], config.optimizer["nesterov"]) == (0.9, False)
    assert config.scheduler["cycle_momentum"] is False
    assert (config.trainer.max_epochs, config.data.batch_size, config.seed) == (8, 64, 0)
    assert {"gradcam", "misclassified", "curves", "throughput", "progress"} <= set(config.callbacks)


@pytest.mark.parametrize(
    ("words", "data", "augmentation"),
    [
        ([], "Digits", ["pad", "crop", "normalize", "to_tensor"]),
        (["data=cifar10"], "Cifar10", ["pad", "crop", "flip", "normalize", "to_tensor"]),
        (["data=cifar100"], "Cifar100", ["pad", "crop", "flip", "normalize", "to_tensor"]),
        (["data=shapes"], "Shapes", ["normalize", "to_tensor"]),
        (["data=cifar10", "augmentation=none"], "Cifar10", ["normalize", "to_tensor"]),
        (["augmentation=none", "data=cifar10"], "Cifar10", ["normalize", "to_tensor"]),
        (["experiment=assignment"], "Cifar10", "assignment"),
        (["experiment=assignment", "data=cifar10"], "Cifar10", "assignment"),
        (["data=cifar10", "experiment=assignment"], "Cifar10", "assignment"),
        (["experiment=assignment", "data=digits"], "Digits", "assignment"),
        (["experiment=assignment", "augmentation=none", "data=shapes"], "Shapes", ["normalize", "to_tensor"]),
    ],
)
def test_data_brings_its_augmentation_an_experiment_overrides_it_and_the_command_line_both(
    composer, words, data, augmentation
):
    of_assignment = ["pad", "crop", "rotate", "flip", "cutout", "normalize", "to_tensor"]
    plain = resolve(composer.compose(words)).plain
    assert plain["data"]["source"]["_target_"].endswith(f".{data}")
    assert list(plain["augmentation"]["train"]) == (of_assignment if augmentation == "assignment" else augmentation)


def test_the_assignment_is_as_it_was_written(composer):
    config = checked(composer.compose(["experiment=assignment"]))
    assert (config.data.batch_size, config.trainer.max_epochs, config.loss.l1) == (128, 30, 1e-5)
    assert (config.optimizer["lr"], config.optimizer["momentum"], config.scheduler["max_lr"]) == (0.01, 0.9, 0.1)
    assert (config.model["width"], config.model["ghost_size"]) == (64, 64)
    assert config.augmentation.train["rotate"] == {"_target_": "albumentations.Rotate", "limit": 15, "p": 0.7}
    assert config.augmentation.train["flip"]["p"] == 0.5


def test_the_assignment_as_run_is_as_its_code_was(composer):
    config = checked(composer.compose(["experiment=assignment_as_run"]))
    assert config.model["_target_"] == "ablate.model.resnet.resnet"
    assert config.scheduler["_target_"] == "ablate.model.schedule.constant"
    assert (config.optimizer["lr"], config.optimizer["momentum"]) == (0.004, 0.95)
    assert config.augmentation.train["flip"]["p"] == 0


def test_a_peak_follows_the_learning_rate(composer):
    assert resolve(composer.compose(["optimizer.lr=0.3"])).plain["scheduler"]["max_lr"] == 0.3


def test_known_method_names_are_those_of_explain():
    from typing import get_args

    from ablate.config.nodes import CamMethod
    from ablate.explain.methods import METHODS, SLOW

    assert set(get_args(CamMethod)) == set(METHODS) - set(SLOW)


def test_the_keys_of_known_targets_are_their_arguments():
    import inspect
    import pkgutil

    from ablate.config.nodes import KNOWN

    for target, keys in (each for known in KNOWN.values() for each in known.items()):
        arguments = set(inspect.signature(pkgutil.resolve_name(target)).parameters)
        fields = {field.alias or name for name, field in keys.model_fields.items()} - {"_target_", "_partial_"}
        assert fields <= arguments, target
