"""In which config keys runs differ, and which of those keys can change a result."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ablate.report.collect import Run

_BOOKKEEPING = (  # names, places and displays: runs may differ in them and still compare
    "name",
    "seed",
    "factors",
    "allow_targets",
    "report",
    "logger",
    "data.root",
    "data.source.root",
    "data.num_workers",
    "trainer.default_root_dir",
    "trainer.enable_checkpointing",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
)
_OBSERVERS = "ablate.callbacks."  # our callbacks leave the training as they find it; another's may not
ABSENT = "absent"


def covers(key: str, other: str) -> bool:
    """Whether `key` is `other` or a group that holds it: "optimizer" covers "optimizer.lr"."""
    return other == key or other.startswith(key + ".")


def level(value: Any) -> str:
    """A config value as a short text that is equal for equal values: true, null, 0.1, sgd, [1, 2]."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def level_order(text: str) -> tuple[int, float, str]:
    """Sorts levels: null, false, true, then numbers by size, then words."""
    fixed = {"null": 0, "false": 1, "true": 2}
    if text in fixed:
        return fixed[text], 0.0, text
    try:
        return 3, float(text), text
    except ValueError:
        return 4, 0.0, text


def differing(runs: Sequence[Run]) -> dict[str, dict[str, list[Run]]]:
    """Config key -> level -> the runs that have it, for every key with more than one level, by key."""
    configs = [run.config for run in runs]
    keys = sorted({key for config in configs for key in config})
    found = {}
    for key in keys:
        values = [config.get(key, ABSENT) for config in configs]
        if not _all_same(values):
            found[key] = group(runs, values)
    return {key: levels for key, levels in found.items() if len(levels) > 1}


def _all_same(values: Sequence[Any]) -> bool:
    """Whether all are one plain value, which is so for most keys of many runs, and quickly seen. True is not 1."""
    first = values[0]
    return isinstance(first, str | int | float | None) and all(
        value == first and type(value) is type(first) for value in values
    )


def group(runs: Iterable[Run], values: Iterable[Any]) -> dict[str, list[Run]]:
    """Level -> the runs that have it, levels in order."""
    found: dict[str, list[Run]] = {}
    for run, value in zip(runs, values, strict=True):
        found.setdefault(level(value), []).append(run)
    return {text: found[text] for text in sorted(found, key=level_order)}


def can_change_results(key: str, runs: Iterable[Run]) -> bool:
    """False for bookkeeping, and for callbacks that only watch."""
    if any(covers(other, key) for other in _BOOKKEEPING):
        return False
    if not key.startswith("callbacks."):
        return True
    target = ".".join(key.split(".")[:2]) + "._target_"
    return not all(str(run.config.get(target, _OBSERVERS)).startswith(_OBSERVERS) for run in runs)


def find_factors(runs: Sequence[Run], asked: str | None) -> tuple[str, ...]:
    """The keys whose effect is in question.

    Those a sweep varied, and those asked for (commas between them). Without either, the one key in which the runs
    differ; if they differ in several, none: then somebody has to say which was meant.
    """
    declared = sorted({key for run in runs for key in run.record.variant})
    declared = [key for key in declared if len(group(runs, (value_of(run, key) for run in runs))) > 1]
    chosen = [key.strip() for key in asked.split(",")] if asked else []
    if declared or chosen:
        return tuple(dict.fromkeys([*declared, *chosen]))
    found = [key for key in differing(runs) if can_change_results(key, runs)]
    return tuple(found) if len(found) == 1 else ()


def value_of(run: Run, key: str) -> Any:
    """A factor's value: as swept, else as configured."""
    variant: Mapping[str, Any] = run.record.variant
    return variant[key] if key in variant else run.config.get(key, ABSENT)
