"""Checks that need the heavy imports, made when a run is about to start: the augmentation is built and tried, the
devices are counted."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ablate.config.devices import device_problems
from ablate.config.nodes import KNOWN
from ablate.config.schema import Config
from ablate.config.signature import argument_problems
from ablate.config.targets import instantiate, nodes, refusals
from ablate.config.wording import show
from ablate.errors import Problem, UserError


def part_problems(config: Config, *, here: bool = True) -> Iterator[Problem]:
    """What only the parts themselves can say. `here`: the run will use this machine's devices."""
    yield from _augmentation_problems(config)
    if config.model["_target_"] not in KNOWN["model"]:
        yield from _model_problems(config)
    if here:
        yield from device_problems(config.trainer)


def _augmentation_problems(config: Config) -> Iterator[Problem]:
    from ablate.data.augment import Augmentation

    sides: dict[str, dict[str, Any]] = {"train": {}, "test": {}}
    found: list[Problem] = []
    wrong: list[Mapping[str, Any]] = []  # the test side repeats transforms of the train side
    for side, transforms in (("train", config.augmentation.train), ("test", config.augmentation.test)):
        for name, node in transforms.items():
            problems, sides[side][name] = _build(node, config.allow_targets, f"augmentation.{side}.{name}")
            found += problems if node not in wrong else []
            wrong += [node] if problems else []
    if not found:
        try:
            Augmentation(sides["train"], sides["test"], image_size=config.data.image_size)
        except UserError as error:
            found += error.problems
    yield from found


def _build(node: Mapping[str, Any], allow: list[str], path: str) -> tuple[list[Problem], Any]:
    """A transform, or why there is none."""
    problems = list(refusals(node, allow, path))
    for inner, each in nodes(node, path) if not problems else ():
        problems += argument_problems(inner, each, None)
    if problems:
        return problems, None
    try:
        with warnings.catch_warnings(action="error"):  # Albumentations only warns, and then takes its defaults
            return [], instantiate(node, allow)
    except Exception as error:
        return list(_refused_arguments(path, node, error)), None


def _refused_arguments(path: str, node: Mapping[str, Any], error: Exception) -> Iterator[Problem]:
    """What a constructor said about its arguments, whichever way it said it."""
    manual = f"python -c 'import pydoc; print(pydoc.render_doc(\"{node['_target_']}\"))'"
    if isinstance(error.__cause__, ValidationError):  # the way of Albumentations
        reasons: dict[str, list[str]] = {}
        for each in error.__cause__.errors(include_url=False):
            argument = str(each["loc"][0]) if each["loc"] else ""
            reasons.setdefault(argument, []).append(each["msg"].removeprefix("Value error, "))
        for argument, messages in reasons.items():
            given = f"{path}.{argument}={show(node.get(argument))}" if argument else path
            yield Problem(given, "; ".join(dict.fromkeys(messages)), manual)
    else:
        yield Problem(f"{path}: {' '.join(str(error).split())}", f"what {node['_target_']} takes", manual)


def _model_problems(config: Config) -> Iterator[Problem]:
    """A network that we do not know, built without memory for its weights, and the layers that are looked at."""
    import torch

    from ablate.explain.methods import layer_problems

    try:
        with torch.device("meta"):
            net = instantiate(config.model, config.allow_targets, num_classes=10)
    except Exception as error:
        yield from _refused_arguments("model", config.model, error)
        return
    for name, node in config.callbacks.items():
        layers = node.get("layers", node.get("layer"))
        if node["_target_"] in KNOWN["callbacks"] and layers is not None:
            key = "layers" if "layers" in node else "layer"
            yield from layer_problems(net, layers, f"callbacks.{name}.{key}")
