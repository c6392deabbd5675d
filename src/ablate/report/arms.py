"""Which runs are replicates of which variant: factors and their levels, arms, and what is compared with what."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ablate.errors import UserError
from ablate.report.collect import Run
from ablate.report.differences import find_factors, group, level, level_order, value_of
from ablate.report.metric import Metric


@dataclass(frozen=True)
class Arm:
    """One variant. `runs` are those a comparison can use, one a seed, by seed; `values` in the report's unit."""

    levels: tuple[str, ...]  # in the order of the design's factors
    label: str
    runs: tuple[Run, ...]
    values: Mapping[int, float]  # seed -> metric


@dataclass(frozen=True)
class Contrast:
    """Two sets of values to compare, a against b. The arms are None for a main effect: its values are averages."""

    a: str
    b: str
    values_a: Mapping[int, float]
    values_b: Mapping[int, float]
    over: str = ""  # what a main effect is averaged over
    arm_a: Arm | None = None
    arm_b: Arm | None = None


@dataclass(frozen=True)
class Design:
    """`factors`: key -> levels, the baseline's first. `arms`: the baseline first. `unused`: run -> the reason.

    `finished` holds every run with a result, also those that repeat another: a fair comparison minds them all.
    """

    factors: Mapping[str, tuple[str, ...]]
    arms: tuple[Arm, ...]
    finished: tuple[Run, ...]
    unused: Mapping[Run, str]
    focus: tuple[str, ...]  # factors asked for, else all

    def label(self, run: Run) -> str:
        """The variant of any run, also of one that does not count."""
        return _label(tuple(self.factors), _levels_of(run, tuple(self.factors)))

    def pairs(self) -> list[Contrast]:
        """Every arm against the baseline."""
        return [
            Contrast(arm.label, base.label, arm.values, base.values, "", arm, base)
            for base in self.arms[:1]
            for arm in self.arms[1:]
        ]

    def main_effects(self) -> list[Contrast]:
        """Every level of the factors in question against the factor's first, averaged over the other factors, by seed.

        Only settings of the others count in which both levels were run, and only seeds that ran in all of these: so
        no other factor weighs more on one side, and the seed stays the unit of replication.
        """
        return [effect for key in self.focus for text in self.factors[key][1:] for effect in self._effect(key, text)]

    def _effect(self, key: str, text: str) -> list[Contrast]:
        place, base = list(self.factors).index(key), self.factors[key][0]
        by_levels = {arm.levels: arm for arm in self.arms if arm.values}
        blocks = [
            (arm, by_levels[other])
            for levels, arm in by_levels.items()
            if levels[place] == text and (other := (*levels[:place], base, *levels[place + 1 :])) in by_levels
        ]
        if not blocks:
            return []
        seeds = set.intersection(*(set(arm.values) for block in blocks for arm in block))
        means = [
            {seed: sum(block[side].values[seed] for block in blocks) / len(blocks) for seed in sorted(seeds)}
            for side in (0, 1)
        ]
        names = short_names(self.factors)
        others = " and ".join(names[other] for other in self.factors if other != key)
        over = f"averaged over {others}" if others else ""
        return [Contrast(f"{names[key]}={text}", f"{names[key]}={base}", means[0], means[1], over)]


def find_arms(runs: Sequence[Run], metric: Metric, factor: str | None, baseline: str | None) -> Design:
    """Raises `UserError` for a factor with one value or a baseline that is no level."""
    keys = find_factors(runs, factor)
    levels = {key: tuple(group(runs, (value_of(run, key) for run in runs))) for key in keys}
    focus = tuple(key.strip() for key in factor.split(",")) if factor else keys
    for key in focus:
        if len(levels[key]) < 2:
            others = [other for other in levels if len(levels[other]) > 1]
            raise UserError.of(
                f"--factor {key}: every run has {key}={levels[key][0]}" if levels[key] else f"--factor {key}: no runs",
                f"a key in which the runs differ{': ' + ', '.join(others) if others else ''}",
                f"--factor {others[0] if others else 'optimizer.nesterov'}",
            )
    levels = _baseline_first(levels, baseline)
    finished, used, unused = _usable(runs, keys, metric)
    by_levels: dict[tuple[str, ...], list[Run]] = {_levels_of(run, keys): [] for run in runs}
    for run in used:
        by_levels[_levels_of(run, keys)].append(run)
    arms = [
        Arm(
            each,
            _label(keys, each),
            tuple(by_levels[each]),
            {run.record.seed: metric.scale * run.record.metrics[metric.name] for run in by_levels[each]},
        )
        for each in product(*levels.values())
        if each in by_levels
    ]
    return Design(levels, tuple(arms), tuple(finished), unused, focus)


def _label(keys: Sequence[str], levels: Sequence[str]) -> str:
    names = short_names(keys)
    return ", ".join(f"{names[key]}={text}" for key, text in zip(keys, levels, strict=True)) or "all runs"


def short_names(factors: Iterable[str]) -> dict[str, str]:
    """optimizer.nesterov -> nesterov, unless another factor ends like it."""
    last = {key: key.rsplit(".", 1)[-1] for key in factors}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def _baseline_first(levels: dict[str, tuple[str, ...]], baseline: str | None) -> dict[str, tuple[str, ...]]:
    """By default the first in order: null, false, the smallest number, the first word."""
    chosen: dict[str, str] = {}
    names = short_names(levels)
    for part in [part.strip() for part in baseline.split(",")] if baseline else []:
        name, equals, text = part.rpartition("=")
        keys = [key for key in levels if name in (key, names[key]) or (not equals and text in levels[key])]
        if len(keys) != 1 or text not in levels[keys[0]]:
            allowed = [f"{names[key]}={each}" for key in levels for each in levels[key]]
            fix = f"--baseline {allowed[0]}" if allowed else "leave --baseline out"
            raise UserError.of(f"--baseline {part}", f"one of {', '.join(allowed) or 'no factors'}", fix)
        chosen[keys[0]] = text
    return {
        key: tuple(sorted(texts, key=lambda text: (text != chosen.get(key), level_order(text))))
        for key, texts in levels.items()
    }


def _usable(runs: Sequence[Run], keys: Sequence[str], metric: Metric) -> tuple[list[Run], list[Run], dict[Run, str]]:
    """Runs with a result; of these the one of every variant and seed that counts; and for the rest why not."""
    finished: list[Run] = []
    used: dict[tuple[tuple[str, ...], int], Run] = {}
    unused: dict[Run, str] = {}
    for run in sorted(runs, key=lambda run: (str(run.record.finished), str(run.folder))):
        value = run.metric(metric.name)
        place = (_levels_of(run, keys), run.record.seed)
        if run.record.status != "done":
            unused[run] = f"{run.record.status}: {run.record.error}" if run.record.error else run.record.status
        elif value is None:
            unused[run] = f"has no {metric.name}"
        elif not math.isfinite(value):
            unused[run] = f"{metric.name} is {value}"
        else:
            finished.append(run)
            first = used.setdefault(place, run)
            if first is not run:  # not the last: repeating a run until it pleases must not change the answer
                unused[run] = f"same variant and seed as {first.folder.name}, which finished first"
    return finished, sorted(used.values(), key=lambda run: run.record.seed), unused


def _levels_of(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(level(value_of(run, key)) for key in keys)
