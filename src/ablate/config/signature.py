"""Arguments of a class that has no model in `nodes.py`: checked against its signature, which imports it."""

import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.config.targets import OWN_KEYS
from ablate.config.wording import nearest
from ablate.errors import Problem

# What a run adds by name to the node of a slot, and what it hands over by position.
SUPPLIED = {
    "model": ("num_classes",),
    "scheduler": ("total_steps", "num_epochs"),
    "logger": ("save_dir",),
}
POSITIONAL = {"optimizer": 1, "scheduler": 1}  # the parameters; the optimizer


def argument_problems(path: str, node: Mapping[str, Any], slot: str | None) -> Iterator[Problem]:
    """Arguments that the target does not take, needs and does not get, or could not take from the run."""
    target = node["_target_"]
    try:
        parameters = inspect.signature(pkgutil.resolve_name(target)).parameters
    except (TypeError, ValueError):  # a C function without a signature
        return
    by_name = {
        name: each for name, each in parameters.items() if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    takes_anything = any(each.kind == each.VAR_KEYWORD for each in parameters.values())
    given = [name for name in node if name not in OWN_KEYS]
    supplied = SUPPLIED.get(slot or "", ())
    if not takes_anything:
        takes = ", ".join(name for name in by_name if name not in supplied) or "no argument"
        for name in given:
            if name not in by_name:
                yield Problem(f"{path}.{name} is no argument of {target}", takes, _fix(path, name, node, by_name))
        for name in supplied:
            if name not in by_name:
                yield Problem(
                    f"{path}._target_={target} takes no {name}, which every run hands over",
                    f"a class or a function with the argument {name}",
                    "write a function around it, and allow_targets=[my_package]",
                )
    if node.get("_args_") or (slot is None and node.get("_partial_")):
        return  # positions are filled in, now or later: nothing is known to be missing
    filled = [*given, *supplied, *list(by_name)[: POSITIONAL.get(slot or "", 0)]]
    for name, each in by_name.items():
        if each.default is each.empty and name not in filled:
            yield Problem(f"{path}.{name} is not set", f"a value: {target} needs one", f"+{path}.{name}=VALUE")


def _fix(path: str, name: str, node: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    meant = nearest(name, (other for other in known if other not in node))
    return f"~{path}.{name} +{path}.{meant}={node[name]}" if meant else f"~{path}.{name}"
