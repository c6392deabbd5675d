"""What a `_target_` may name. Every one of a config is checked before anything is built, at any depth.

A config is data, and may come from somebody else; without this list it could call any function of any installed
package. Hydra 1.3 has a block list alone ("not a complete security boundary"), which stays on underneath; Hydra 1.4
takes a list like `ALLOWED` itself (`execution_whitelist`), in this very notation, and can then do `refusals`' work.
"""

import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import hydra.utils

from ablate.config.wording import nearest, show
from ablate.errors import Problem, UserError

# The parts of the known packages that an experiment is made of. Not all of `torch`: torch.hub.load, torch.load or
# torch.utils.cpp_extension.load run code of whoever wrote the file. Not all loggers: most talk to a server.
ALLOWED = (
    "ablate.board.*",
    "ablate.callbacks.*",
    "ablate.data.*",
    "ablate.model.*",
    "albumentations.*",
    "pytorch_lightning.callbacks.*",
    "pytorch_lightning.loggers.CSVLogger",
    "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.loggers.csv_logs.CSVLogger",
    "pytorch_lightning.loggers.tensorboard.TensorBoardLogger",
    "torch.nn.*",
    "torch.optim.*",
    "torchmetrics.classification.*",
    "torchvision.models.*",
    "torchvision.ops.*",
)
# Of those, what reads and writes files of any name, or fetches weights.
REFUSED = (
    "albumentations.check_version.",
    "albumentations.core.hub_mixin.",
    "albumentations.core.serialization.",
    "torchvision.models._api.",
    "torchvision.models.detection.",
    "torchvision.models.segmentation.",
)
OWN_KEYS = frozenset({"_target_", "_partial_", "_recursive_", "_convert_", "_args_"})  # Hydra's, in a node


def instantiate(node: Mapping[str, Any], allow: Sequence[str] = (), **kwargs: Any) -> Any:
    """Build what a node describes; `kwargs` come on top. With `_partial_: true`: a `functools.partial` of it.

    `allow`: packages beside `ALLOWED`, as in the root key `allow_targets`. Raises `UserError` for a target that is not
    allowed, before anything is built; what the target itself raises comes through as it is.
    """
    UserError.raise_all(refusals(node, allow))
    # As a partial, so that `kwargs` never pass through OmegaConf, which would copy and convert them.
    build = hydra.utils.instantiate({**node, "_partial_": True}, _convert_="all")
    return partial(build, **kwargs) if node.get("_partial_") else build(**kwargs)


def nodes(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, node) of every mapping with a `_target_` in `value`, at any depth, outermost first."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for name, inner in value.items():
            yield from nodes(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from nodes(inner, f"{path}[{index}]")


def refusals(config: Any, allow: Sequence[str] = (), path: str = "") -> Iterator[Problem]:
    """What is wrong with the targets of a config or a node: not allowed, not there, or not what they claim to be."""
    for inner, node in nodes(config, path):
        if refusal := refusal_of(node["_target_"], allow, inner):
            yield refusal
        else:
            yield from downloads(node, allow, inner)
    yield from interpolations(config, path)


def refusal_of(target: Any, allow: Sequence[str], path: str) -> Problem | None:
    """Why a target, at `path`, may not be built; imports the module that it names if the name is allowed."""
    return unlisted(target, allow, path) or impostor(target, _all_allowed(allow), path)


def unlisted(target: Any, allow: Sequence[str], path: str) -> Problem | None:
    """Why the name alone is refused; imports nothing."""
    parts = target.split(".") if isinstance(target, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        allowed = "the dotted name of a class: package.module.Class"
        return Problem(f"{path}._target_={target}", allowed, f"~{path}" if path else "_target_: torch.nn.Identity")
    if any(part.startswith("_") for part in parts):
        return Problem(f"{path}._target_={target} goes through a private name", "public names", f"~{path}")
    if not listed(target, _all_allowed(allow)):
        return not_listed(target, _all_allowed(allow), path)
    return None


def downloads(node: Mapping[str, Any], allow: Sequence[str], path: str) -> Iterator[Problem]:
    """Arguments that would make torchvision fetch weights: a training uses no network."""
    target = str(node["_target_"])
    if not target.startswith("torchvision.models.") or listed(target, _patterns(allow)):
        return
    for name, value in node.items():
        fetches = any(word in str(name) for word in ("weights", "pretrained")) and value not in (None, False)
        if fetches or (name == "_args_" and value):
            given = f"{path}.{name}={show(value)} could download weights"
            yield Problem(given, "no network; load weights in a class of your own", f"~{path}.{name}")


def impostor(target: str, allowed: Sequence[str], path: str) -> Problem | None:
    """Why a listed name may still not be built: it names nothing, or something from elsewhere, or a method."""
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        return _not_there(target, path, error)
    real = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}"
    plain = inspect.isclass(found) or (inspect.isroutine(found) and "." not in found.__qualname__)
    if plain and listed(real, allowed):
        return None
    # Modules show what they import: `torch.nn.functional.torch.load` is torch.serialization.load.
    what = f"{real}, which is not on the list" if plain else "no class and no function"
    return Problem(f"{path}._target_={target} is {what}", _words(allowed), _own_package_hint(real))


def _all_allowed(allow: Sequence[str]) -> tuple[str, ...]:
    return (*ALLOWED, *_patterns(allow))


def _patterns(allow: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{package}.*" for package in allow)


def listed(name: str, allowed: Sequence[str]) -> bool:
    """Whether a dotted name is under one of `allowed`; what is in `REFUSED` only a user's own entry lets in."""
    entries = tuple(entry.removesuffix("*") for entry in allowed if entry not in ALLOWED)
    known = tuple(entry.removesuffix("*") for entry in allowed if entry in ALLOWED)
    return name.startswith(entries) or (name.startswith(known) and not name.startswith(REFUSED))


def not_listed(target: Any, allowed: Sequence[str], path: str) -> Problem:
    return Problem(f"{path}._target_={target}", _words(allowed), _own_package_hint(str(target)))


def _words(allowed: Sequence[str]) -> str:
    return f"a class of {', '.join(entry.removesuffix('.*') for entry in allowed if '.loggers.' not in entry)}"


def interpolations(value: Any, path: str) -> Iterator[Problem]:
    """Text that OmegaConf would resolve once more while building, and so could turn into another target."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from interpolations(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from interpolations(inner, f"{path}[{index}]")
    elif isinstance(value, str) and "${" in value:
        yield Problem(f"{path}={value} holds an unresolved ${{...}}", "plain text", f"{path}=TEXT")


def _own_package_hint(target: str) -> str:
    package = target.partition(".")[0]
    roots = {entry.partition(".")[0] for entry in ALLOWED}
    if package not in roots and (meant := nearest(package, roots)):
        return f"{meant}{target[len(package) :]}"
    if target.startswith("pytorch_lightning.loggers."):
        return "allow_targets=[pytorch_lightning.loggers], if it may use the network"
    if package in roots or package in sys.stdlib_module_names or package in ("builtins", "hydra", "None"):
        return "write a class of your own around it, and allow_targets=[my_package]"
    return f"allow_targets=[{package}], if you trust it"


def _not_there(target: str, path: str, error: Exception) -> Problem:
    """A class that does not exist, with the likely one if its module does."""
    module, _, name = target.rpartition(".")
    given = f"{path}._target_={target}"
    try:
        names = [known for known in dir(pkgutil.resolve_name(module)) if not known.startswith("_")]
    except (ImportError, AttributeError, ValueError):
        allowed = "a class that can be imported: of an installed package, or of one beside train.py"
        return Problem(f"{given} cannot be imported ({error})", allowed, "PYTHONPATH=DIR python train.py ...")
    meant = nearest(name, names)
    fix = f"{path}._target_={module}.{meant}" if meant else f"python -c 'import {module}; print(dir({module}))'"
    return Problem(f"{given} does not exist", f"a class of {module}", fix)
