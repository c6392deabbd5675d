"""What is different now from when a run began. Without torch: it is asked before anything is started."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ablate import environment
from ablate.record import RunRecord, config_hash

_MISSING = object()
environment.code_digest([environment.OWN])  # now: in a sweep the files may change between this import and a run's start


def differences(old: RunRecord, config: Mapping[str, Any]) -> list[str]:
    """Between the record of a run that is to go on and what is here: config, code, versions; [] if there is none.

    config: the resolved one that would go on. Each difference is a phrase: "optimizer.lr=0.1, now 0.2",
    "torch 2.15.0, now 2.16.0", "code 1a2b3c4d5e6f, now 6f5e4d3c2b1a".
    """
    return [*config_differences(old, config), *environment_differences(old)]


def config_differences(old: RunRecord, config: Mapping[str, Any]) -> list[str]:
    if old.config_hash == config_hash(config):
        return []
    before, now = dict(_flat(old.config)), dict(_flat(config))
    names = [name for name in dict.fromkeys([*before, *now]) if name.partition(".")[0] not in ("name", "factors")]
    changed = [name for name in names if before.get(name, _MISSING) != now.get(name, _MISSING)]
    return [f"{name}={_shown(before, name)}, now {_shown(now, name)}" for name in changed] or [
        f"config {old.config_hash}, now {config_hash(config)}"
    ]


def environment_differences(old: RunRecord) -> list[str]:
    """Of code and versions, for those that the record knows."""
    found = []
    code = code_of(old.config)
    if old.code is not None and old.code != code:
        found.append(f"code {old.code}, now {code}")
    versions = environment.versions()
    for name in dict.fromkeys([*old.versions, *versions]) if old.versions else ():
        before, now = (each.get(name, "not installed") for each in (old.versions, versions))
        if before != now and name != "ablate":  # its code is compared itself
            found.append(f"{name} {before}, now {now}")
    return found


def code_of(config: Mapping[str, Any]) -> str:
    """Twelve hex digits over the code that a run with this config executes: this package, and those it allows."""
    return environment.code_digest([environment.OWN, *config.get("allow_targets", ())])


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(flat: Mapping[str, Any], name: str) -> str:
    if name not in flat:
        return "absent"
    value = flat[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
