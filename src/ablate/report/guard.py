"""Is the comparison fair? Refuses when runs differ in what nobody asked about; warns where a reader should know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.report.arms import Design
from ablate.report.collect import Run
from ablate.report.differences import can_change_results, covers, differing, group, level


@dataclass(frozen=True)
class Refusal:
    """`key` is what to allow; `what` a phrase: "optimizer.lr differs: 0.1 (5 runs), 0.2 (5 runs)"."""

    key: str
    what: str


@dataclass(frozen=True)
class Fairness:
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]


MAX_LACKING, MAX_SEEDS = 8, 20  # variants without all their runs, and seeds of one, that are named
_TOLD = ("git.commit", "data_checksum", "initial_weights_hash", "device.kind", "versions.torch")


def check(design: Design, metric: str, allow: Sequence[str]) -> Fairness:
    """`allow`: keys, or groups of keys, that may differ."""
    runs = design.finished
    found = [*_config(runs, design), *_facts(runs, design), *_initial_weights(runs, design)]
    refused = [each for each in found if not any(covers(key, each.key) for key in allow)]
    allowed = [f"Allowed by hand: {each.what}." for each in found if each not in refused]
    return Fairness(tuple(refused), (*allowed, *_warnings(runs, design, metric)))


def _config(runs: Sequence[Run], design: Design) -> Iterator[Refusal]:
    for key, levels in differing(runs).items():
        if can_change_results(key, runs) and not any(_explains(factor, key, runs) for factor in design.factors):
            yield Refusal(key, _differs(key, levels))


def _explains(factor: str, key: str, runs: Sequence[Run]) -> bool:
    """Whether the key is the factor, or a part of it, or a copy, as `max_lr: ${optimizer.lr}`: equal in every run."""
    copies = all(level(run.config.get(key)) == level(run.config.get(factor)) for run in runs)
    return covers(factor, key) or copies


def _facts(runs: Sequence[Run], design: Design) -> Iterator[Refusal]:
    """Code, data, device and libraries: what no config key holds. A silent record is warned about elsewhere."""
    packages = sorted({f"versions.{name}" for run in runs for name in run.record.versions})
    for key in ("git.commit", "git.dirty", "data_checksum", "device.kind", *packages):
        swept = {"data_checksum": "data", "device.kind": "trainer"}.get(key)
        if swept and any(covers(swept, factor) for factor in design.factors):
            continue
        known = [run for run in runs if _fact(run, key) is not None]
        levels = group(known, (_fact(run, key) for run in known))
        if len(levels) > 1:
            yield Refusal(key, _differs(key, levels))


def _fact(run: Run, key: str) -> Any:
    """A field of the record, or an entry of one: "data_checksum", "git.commit"."""
    name, _, entry = key.partition(".")
    value = getattr(run.record, name)
    return value.get(entry) if entry else value


def _initial_weights(runs: Sequence[Run], design: Design) -> Iterator[Refusal]:
    if _changes_network(design):
        return
    by_seed: dict[int, set[str]] = {}
    for run in runs:
        if run.record.initial_weights_hash:
            by_seed.setdefault(run.record.seed, set()).add(run.record.initial_weights_hash)
    unequal = [seed for seed, hashes in sorted(by_seed.items()) if len(hashes) > 1]
    if unequal:
        yield Refusal("initial_weights_hash", f"initial_weights_hash differs between runs of {_named(unequal)}")


def _named(seeds: Sequence[int]) -> str:
    more = f" and {len(seeds) - MAX_SEEDS} more" if len(seeds) > MAX_SEEDS else ""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds[:MAX_SEEDS]))}{more}"


def _changes_network(design: Design) -> bool:
    return any(factor.split(".")[0] in ("model", "data") for factor in design.factors)


def _differs(key: str, levels: dict[str, list[Run]]) -> str:
    counts = [f"{_short(text)} ({len(runs)} run{'s' * (len(runs) > 1)})" for text, runs in levels.items()]
    more = f" and {len(counts) - 4} more" if len(counts) > 4 else ""
    return f"{key} differs: {', '.join(counts[:4])}{more}"


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."


def _warnings(runs: Sequence[Run], design: Design, metric: str) -> Iterator[str]:
    chosen_on = {str(run.record.checkpoint.get("chosen_on")) for run in runs if run.record.checkpoint.get("chosen_on")}
    if any(each.startswith("test/") for each in chosen_on):
        yield "The checkpoint was chosen on the test set, so test numbers are too good; choose on val/accuracy."
    elif metric in chosen_on:
        yield f"The checkpoint was chosen by {metric} itself, so its level is too good; compare on the test set."
    if _compares_momentum(design) and any(_cycles_momentum(run) for run in runs):
        yield "The scheduler cycles the momentum that is being compared; set scheduler.cycle_momentum=false."
    if any(run.record.git.get("dirty") for run in runs):
        yield "The code had uncommitted changes: no commit names what ran."
    unknown = [key for key in _TOLD if any(_fact(run, key) is None for run in runs)]
    if unknown:
        yield f"Not every record says its {', '.join(unknown)}: that these are equal was not checked."
    devices = sorted({str(run.record.device["name"]) for run in runs if run.record.device.get("name")})
    if len(devices) > 1:
        yield f"The runs used different devices ({', '.join(devices)}): their times do not compare."
    yield from _seeds(design)
    lost = sum(why.startswith("failed") or why.endswith((" is nan", "inf")) for why in design.unused.values())
    if lost:
        yield f"{lost} run{'s' * (lost > 1)} broke down and cannot count: what is left may flatter the variant."


def _seeds(design: Design) -> Iterator[str]:
    every = sorted({seed for arm in design.arms for seed in arm.values})
    shared = set(every).intersection(*(arm.values for arm in design.arms))
    if len(design.arms) > 1 and every and not shared:
        yield "The variants share no seed: nothing is paired, and differences between seeds count as error."
        return
    lacking = [(arm, missing) for arm in design.arms if (missing := [seed for seed in every if seed not in arm.values])]
    for arm, missing in lacking[:MAX_LACKING]:
        yield f"{arm.label} has no result for {_named(missing)}."
    if len(lacking) > MAX_LACKING:
        yield f"{len(lacking) - MAX_LACKING} more variants have no result for some of the seeds."


def _compares_momentum(design: Design) -> bool:
    return any(key == "optimizer" or key in ("optimizer.momentum", "optimizer.nesterov") for key in design.factors)


def _cycles_momentum(run: Run) -> bool:
    default = str(run.config.get("scheduler._target_")).endswith("OneCycleLR")  # torch's own cycles unless told not to
    return bool(run.config.get("scheduler.cycle_momentum", default))
