"""Keys against keys. A rule names the keys it reads and gets their values; it is left out where one of them is missing
or wrong by itself. It returns what is wrong, or None."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablate.config.nodes import KNOWN
from ablate.config.wording import nearest, show
from ablate.errors import Problem

Rule = Callable[..., Problem | None]
RULES: list[tuple[tuple[str, ...], Rule]] = []
RESNET_LAYERS = ("layer1", "layer2", "layer3", "layer4")


def rule_problems(plain: Mapping[str, Any], bad: Collection[str]) -> Iterator[Problem]:
    """What the rules find in a resolved config, reading none of the paths in `bad`."""
    for keys, rule in RULES:
        values = [_select(plain, key) for key in keys]
        if any(value is _select for value in values) or any(_touches(key, path) for key in keys for path in bad):
            continue
        if problem := rule(*values):
            yield problem


def rule(*keys: str) -> Callable[[Rule], Rule]:
    """Enter a function into `RULES`, with the config paths of its arguments."""

    def enter(function: Rule) -> Rule:
        RULES.append((keys, function))
        return function

    return enter


@rule("optimizer.nesterov", "optimizer.momentum")
def nesterov_looks_ahead_along_a_momentum(nesterov: bool, momentum: float) -> Problem | None:
    if not nesterov or momentum > 0:
        return None
    given = f"optimizer.nesterov=true with optimizer.momentum={momentum}"
    return Problem(given, "Nesterov momentum needs a momentum above 0", "optimizer.momentum=0.9")


@rule("optimizer.nesterov", "optimizer.dampening")
def nesterov_is_not_dampened(nesterov: bool, dampening: float | None) -> Problem | None:
    if not nesterov or not dampening:
        return None
    given = f"optimizer.nesterov=true with optimizer.dampening={dampening}"
    return Problem(given, "Nesterov momentum needs a dampening of 0", "optimizer.dampening=0")


@rule("model.ghost_size", "data.batch_size")
def a_batch_fills_a_ghost(ghost_size: int, batch_size: int) -> Problem | None:
    if ghost_size <= batch_size:
        return None
    given = f"model.ghost_size={ghost_size} with data.batch_size={batch_size}"
    return Problem(given, "ghosts no larger than a batch", f"model.ghost_size={min(32, batch_size)}")


@rule("data.batch_size", "trainer.devices", "trainer.num_nodes")
def every_device_has_something_to_normalise(batch_size: int, devices: Any, num_nodes: int) -> Problem | None:
    shares = _shares(devices, num_nodes)
    if batch_size >= 2 * shares:
        return None
    given = f"data.batch_size={batch_size} on {shares} devices, which share it"
    allowed = "two pictures or more on each device: one has no variance to normalise by"
    return Problem(given, allowed, f"data.batch_size={2 * shares}")


@rule("model.ghost_size", "data.batch_size", "trainer.devices", "trainer.num_nodes")
def a_share_of_a_batch_fills_a_ghost(ghost_size: int, batch_size: int, devices: Any, num_nodes: int) -> Problem | None:
    shares = _shares(devices, num_nodes)
    share = batch_size // shares
    if shares == 1 or share < 2 or ghost_size <= share or ghost_size > batch_size:
        return None
    given = f"model.ghost_size={ghost_size} with data.batch_size={batch_size} on {shares} devices: {share} on each"
    allowed = "ghosts no larger than a device's share of a batch"
    return Problem(given, allowed, f"data.batch_size={ghost_size * shares}, or model.ghost_size={share}")


@rule("model.ghost_size", "trainer.sync_batchnorm")
def ghosts_stay_on_their_device(ghost_size: int, sync_batchnorm: bool) -> Problem | None:
    if not sync_batchnorm:
        return None
    given = f"trainer.sync_batchnorm=true with model.ghost_size={ghost_size}"
    allowed = "false: synchronising puts plain batch norm in the place of every ghost batch norm, without a word"
    return Problem(given, allowed, "trainer.sync_batchnorm=false, or model=resnet18")


@rule("model._target_", "data.image_size")
def the_network_leaves_something_to_see(target: str, image_size: int) -> Problem | None:
    if target not in KNOWN["model"] or image_size >= 16:
        return None
    given = f"data.image_size={image_size} with {target}"
    return Problem(given, "16 or more: layer4 works at an eighth of it, and needs 2 x 2", "data.image_size=32")


@rule("model._target_", "callbacks")
def callbacks_look_at_layers_that_exist(target: str, callbacks: Mapping[str, Any]) -> Problem | None:
    if target not in KNOWN["model"]:
        return None
    allowed = f"{', '.join(RESNET_LAYERS)}, or a part of one, such as layer4.0"
    for name, node in callbacks.items():
        if node["_target_"] not in KNOWN["callbacks"]:
            continue
        for key, layers in (("layers", node.get("layers") or []), ("layer", [node.get("layer")])):
            for wrong in (each for each in layers if each and each.partition(".")[0] not in RESNET_LAYERS):
                right = nearest(wrong, RESNET_LAYERS) or RESNET_LAYERS[-1]
                path, fix = f"callbacks.{name}.{key}", f"[{right}]" if key == "layers" else right
                return Problem(f"{path}={show(node[key])}: no {wrong} in {target}", allowed, f"{path}={fix}")
    return None


@rule("data.source._target_", "data.image_size")
def cifar_is_as_published(target: str, image_size: int) -> Problem | None:
    if not target.startswith("ablate.data.cifar.") or image_size == 32:
        return None
    given = f"data.image_size={image_size} with {target}"
    return Problem(given, "32: CIFAR pictures are used as published", "data.image_size=32")


@rule("data.source.image_size", "data.image_size")
def the_source_makes_pictures_of_the_size(of_source: int, image_size: int) -> Problem | None:
    if of_source == image_size:
        return None
    given = f"data.source.image_size={of_source} with data.image_size={image_size}"
    return Problem(given, "one size", f"data.image_size={of_source}, and nothing for data.source.image_size")


@rule("data.source", "data.root")
def a_root_is_read(source: Mapping[str, Any], root: str | None) -> Problem | None:
    if root is None or source["_target_"] not in KNOWN["data.source"] or "root" in source:
        return None
    given = f"data.root={root} with {source['_target_']}, which reads no folder"
    return Problem(given, "null, or data that lies in a folder", f"data=image_folder data.root={root}")


@rule("data.source.root")
def a_home_is_somebodys(root: str) -> Problem | None:
    if not root.startswith("~") or os.path.expanduser(root) != root:
        return None
    return Problem(f"data.root={root}: there is no home of that name", "a folder", "data.root=DIR")


@rule("data.source._target_", "data.source.root")
def the_folder_of_pictures_is_there(target: str, root: str) -> Problem | None:
    if target != "ablate.data.folder.ImageFolder":
        return None
    path = Path(os.path.expanduser(root))
    missing = next((each for each in (path, path / "train", path / "test") if not os.path.isdir(each)), None)
    if missing is None:
        return None
    allowed = "a folder with train/<class>/* and test/<class>/*"
    similar = None
    with suppress(OSError):  # a folder that may not be read
        similar = nearest(path.name, os.listdir(path.parent))
    fix = f"data.root={path.parent / similar}" if similar and missing == path else "data.root=DIR"
    return Problem(f"data.root={root}: there is no folder {missing}", allowed, fix)


@rule("scheduler.warmup_epochs", "trainer.max_epochs")
def the_warm_up_ends(warmup_epochs: float, max_epochs: int) -> Problem | None:
    if warmup_epochs < max_epochs:
        return None
    given = f"scheduler.warmup_epochs={warmup_epochs} with trainer.max_epochs={max_epochs}"
    return Problem(given, "a warm-up shorter than the training", f"scheduler.warmup_epochs={max_epochs / 10:g}")


@rule("trainer.accelerator", "trainer.precision")
def a_cpu_has_no_half_precision(accelerator: str, precision: str) -> Problem | None:
    if accelerator != "cpu" or not precision.startswith("16-"):
        return None
    given = f"trainer.precision={precision} with trainer.accelerator=cpu"
    return Problem(given, "32-true, 64-true or bf16-mixed on a CPU", "trainer.precision=32-true")


@rule("trainer.deterministic", "trainer.benchmark")
def the_fastest_kernel_is_not_always_the_same(deterministic: bool | str, benchmark: bool | None) -> Problem | None:
    if deterministic is not True or not benchmark:
        return None
    given = "trainer.benchmark=true with trainer.deterministic=true"
    return Problem(given, "one of them: the fastest kernel differs from run to run", "trainer.deterministic=false")


@rule("report.metric", "report.target")
def a_target_is_an_accuracy(metric: str, target: float | None) -> Problem | None:
    if target is None or metric.endswith("/accuracy"):
        return None
    given = f"report.target={target} with report.metric={metric}"
    return Problem(given, "a target, in points, for an accuracy", "report.target=null")


def _shares(devices: Any, num_nodes: int) -> int:
    """How many devices share a batch, as far as the config tells: "auto" is known on the machine alone."""
    here = len(devices) if isinstance(devices, list) else 1 if devices == "auto" else devices
    return int(here) * num_nodes


def _select(plain: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; this function itself where there is none."""
    value: Any = plain
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _select
        value = value[part]
    return value


def _touches(key: str, path: str) -> bool:
    return key == path or key.startswith(f"{path}.") or path.startswith(f"{key}.")
