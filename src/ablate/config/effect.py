"""Whether what was typed changes anything: settings that another one overrides, runs of a sweep that are the same."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ablate.config.wording import show
from ablate.errors import Problem
from ablate.record import config_hash


def effect_problems(plain: Mapping[str, Any], typed: Collection[str]) -> Iterator[Problem]:
    """What one run would silently ignore. `typed`: the keys that were set on the command line or in a sweep."""
    sections = (plain.get(name) for name in ("optimizer", "scheduler"))
    optimizer, scheduler = (section if isinstance(section, Mapping) else {} for section in sections)
    lr, peak = optimizer.get("lr"), scheduler.get("max_lr")
    if "optimizer.lr" in typed and _is_number(lr) and _is_number(peak) and peak != lr:
        yield Problem(
            f"optimizer.lr={show(lr)} has no effect: the learning rate follows scheduler.max_lr={show(peak)}",
            "a schedule that takes its peak from optimizer.lr",
            "'scheduler.max_lr=${optimizer.lr}'",
        )
    if "optimizer.momentum" in typed and scheduler.get("cycle_momentum") is True:
        yield Problem(
            f"optimizer.momentum={show(optimizer.get('momentum'))} has no effect with scheduler.cycle_momentum=true",
            "a schedule that leaves the momentum alone",
            "scheduler.cycle_momentum=false",
        )


def repetitions(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Problem]:
    """Runs of a sweep, (name, resolved config), that are one and the same."""
    first: dict[str, str] = {}
    for name, plain in runs:
        digest = config_hash(plain)
        if digest in first:
            given = f"the runs {first[digest]} and {name} are the same"
            yield Problem(given, "runs that differ in more than the name", "leave one out")
        first.setdefault(digest, name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
