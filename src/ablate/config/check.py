"""Everything that is wrong with a resolved config. Imports torch only for a `_target_` that is not in `nodes.py`."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ablate.config.nodes import KNOWN
from ablate.config.rules import rule_problems
from ablate.config.schema import Config
from ablate.config.signature import argument_problems
from ablate.config.targets import downloads, interpolations, nodes, refusal_of, unlisted
from ablate.config.translate import section_problems
from ablate.config.trust import unusable_packages
from ablate.errors import Problem

MISSING = "\0missing"  # stands for a value that is not set, once that has been reported
NO_LINKS: Mapping[str, str] = MappingProxyType({})
Found = tuple[str, Problem]  # the config path, and what is wrong there


def find_problems(
    plain: Mapping[str, Any], links: Mapping[str, str] = NO_LINKS, typed: Collection[str] = ()
) -> list[Problem]:
    """Types and ranges, then targets and their arguments, then keys against keys as far as those are right.

    `links`: keys that only repeat another key, which is then the one to complain of. `typed`: keys from the command
    line, as against those from files.
    """
    allow = plain.get("allow_targets")
    allow = [name for name in allow if isinstance(name, str)] if isinstance(allow, list) else []
    found: list[Found] = [
        *section_problems(Config, plain, typed=typed),
        *(("allow_targets", problem) for problem in unusable_packages(allow)),
        *(each for path, node in nodes(plain) for each in _node_problems(path, node, allow, typed)),
        *((path, _no_target(path)) for path, value in _slots(plain) if _lacks_target(value)),
        *(("", problem) for problem in interpolations(plain, "")),
    ]
    missing = {path for path, value in leaves(plain) if value == MISSING}
    found = [(path, problem) for path, problem in found if path not in missing]
    bad = missing | {path for path, _ in found}
    return [problem for _, problem in _follow(found, links)] + list(rule_problems(plain, bad))


def _follow(found: list[Found], links: Mapping[str, str]) -> Iterator[Found]:
    """Complain of a linked key under the name of the key it repeats, unless that has been complained of."""
    bad = {path for path, _ in found}
    for path, problem in found:
        link = next((link for link in links if path == link or path.startswith(f"{link}.")), None)
        if link is None:
            yield path, problem
        elif (real := links[link] + path[len(link) :]) not in bad:
            yield real, Problem(*(text.replace(path, real) for text in (problem.given, problem.allowed, problem.fix)))


def _node_problems(path: str, node: Mapping[str, Any], allow: list[str], typed: Collection[str]) -> Iterator[Found]:
    target, slot = node["_target_"], _slot_of(path)
    if problem := unlisted(target, allow, path):
        yield f"{path}._target_", problem
    elif slot in KNOWN and target in KNOWN[slot]:
        yield from section_problems(KNOWN[slot][target], node, path, typed)
    elif slot and (other := next((place for place, known in KNOWN.items() if target in known), None)):
        allowed = f"one of {', '.join(KNOWN.get(slot, {}))}, or a class of your own"
        fix = f"leave {path}._target_ as it was"
        yield f"{path}._target_", Problem(f"{path}._target_={target}, which belongs in {other}", allowed, fix)
    elif path.startswith("augmentation."):
        return  # `parts.py` builds these: Albumentations takes seconds to import
    elif problem := refusal_of(target, allow, path):
        yield f"{path}._target_", problem
    else:
        yield from ((path, problem) for problem in downloads(node, allow, path))
        yield from ((path, problem) for problem in argument_problems(path, node, slot))


def _slot_of(path: str) -> str | None:
    """The place of the config that a node fills; None for a node inside another one."""
    first, _, rest = path.partition(".")
    if path in ("model", "optimizer", "scheduler", "data.source"):
        return path
    if first in ("callbacks", "logger") and rest and "." not in rest:
        return first
    return None


def _slots(plain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path, value) of every place that a node must fill."""
    yield from ((name, plain[name]) for name in ("model", "optimizer", "scheduler") if name in plain)
    data = plain.get("data")
    if isinstance(data, Mapping) and "source" in data:
        yield "data.source", data["source"]
    augmentation = plain.get("augmentation")
    sides = augmentation if isinstance(augmentation, Mapping) else {}
    groups = {name: plain.get(name) for name in ("callbacks", "logger")}
    groups |= {f"augmentation.{side}": transforms for side, transforms in sides.items()}
    for group, entries in groups.items():
        if isinstance(entries, Mapping):
            yield from ((f"{group}.{name}", entry) for name, entry in entries.items())


def _lacks_target(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" not in value


def _no_target(path: str) -> Problem:
    allowed = "the dotted name of a class under _target_"
    return Problem(f"{path} has no _target_", allowed, f"+{path}._target_=package.module.Class")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in nested mappings that is no mapping itself."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value
