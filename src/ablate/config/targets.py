"""What a `_target_` may name. Every one of a config is checked before anything is built, at any depth.

A config is data, and may come from somebody else; without this list it could call any function of any installed
package. Hydra 1.3 has a block list alone ("not a complete security boundary"), which stays on underneath; Hydra 1.4
takes a list like `ALLOWED` itself (`execution_whitelist`), in this very notation, and can then do `refusals`' work.
"""

import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import hydra.utils

from ablate.config.wording import nearest
from ablate.errors import Problem, UserError

# The parts of the known packages that an experiment is made of. Not all of `torch`: torch.hub.load, torch.load or
# torch.utils.cpp_extension.load run code of whoever wrote the file.
ALLOWED = (
    "ablate.board.*",
    "ablate.callbacks.*",
    "ablate.data.*",
    "ablate.explain.*",
    "ablate.model.*",
    "albumentations.*",
    "pytorch_lightning.callbacks.*",
    "pytorch_lightning.loggers.*",
    "torch.nn.*",
    "torch.optim.*",
    "torchmetrics.*",
    "torchvision.models.*",
    "torchvision.ops.*",
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
        refusal = refusal_of(node["_target_"], allow, f"{inner}._target_" if inner else "_target_")
        if refusal:
            yield refusal
    yield from interpolations(config, path)


def refusal_of(target: Any, allow: Sequence[str], path: str) -> Problem | None:
    """Why a target may not be built; imports the module that it names if the name is allowed."""
    if problem := unlisted(target, allow, path):
        return problem
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        return _not_there(target, path, error)
    real = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}"
    if not callable(found) or not _listed(real, allow):
        # Modules show what they import: `torch.nn.functional.torch.load` is torch.serialization.load.
        what = f"{real}, which is not on the list" if callable(found) else "no class and no function"
        return Problem(f"{path}={target} is {what}", _allowed_text(allow), _own_package_hint(real))
    return None


def unlisted(target: Any, allow: Sequence[str], path: str) -> Problem | None:
    """Why the name alone is refused; imports nothing."""
    parts = target.split(".") if isinstance(target, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return Problem(f"{path}={target}", "the dotted name of a class: package.module.Class", f"~{path}")
    if any(part.startswith("_") for part in parts):
        return Problem(f"{path}={target} goes through a private name", "public names", f"~{path}")
    if not _listed(target, allow):
        return Problem(f"{path}={target}", _allowed_text(allow), _own_package_hint(target))
    return None


def unusable_packages(allow: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the root key `allow_targets`."""
    for package in allow:
        root = package.partition(".")[0]
        if not all(part.isidentifier() for part in package.split(".")):
            yield Problem(
                f"allow_targets=[{package}]", "names of packages, without a star", "allow_targets=[my_package]"
            )
        elif root in sys.stdlib_module_names or root in ("builtins", "hydra", "omegaconf"):
            yield Problem(
                f"allow_targets=[{package}] would let a config call anything",
                "the package that holds your own classes",
                "allow_targets=[my_package]",
            )


def _listed(name: str, allow: Sequence[str]) -> bool:
    """Whether a dotted name falls under `ALLOWED` or under one of the packages in `allow`."""
    prefixes = (*(entry.removesuffix("*") for entry in ALLOWED), *(f"{package}." for package in allow))
    return name.startswith(prefixes)


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


def _allowed_text(allow: Sequence[str]) -> str:
    return "a class of " + ", ".join([*(entry.removesuffix(".*") for entry in ALLOWED), *allow])


def _own_package_hint(target: str) -> str:
    package = target.partition(".")[0]
    roots = {entry.partition(".")[0] for entry in ALLOWED}
    if package not in roots and (meant := nearest(package, roots)):
        return f"{meant}{target[len(package) :]}"
    if package in roots or package in sys.stdlib_module_names or package in ("builtins", "hydra", "None"):
        return "write a class of your own around it, and allow_targets=[my_package]"
    return f"allow_targets=[{package}], if you trust it"


def _not_there(target: str, path: str, error: Exception) -> Problem:
    """A class that does not exist, with the likely one if its module does."""
    module, _, name = target.rpartition(".")
    try:
        names = [known for known in dir(pkgutil.resolve_name(module)) if not known.startswith("_")]
    except (ImportError, AttributeError, ValueError):
        return Problem(f"{path}={target} cannot be imported ({error})", "a class that can be imported", f"~{path}")
    meant = nearest(name, names)
    return Problem(
        f"{path}={target} does not exist",
        f"a class of {module}",
        f"{path}={module}.{meant}" if meant else f"python -c 'import {module}; print(dir({module}))'",
    )
