"""The tables of the page: runs, cost, pictures, and in what the configs differ. Words and numbers, no markup."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ablate.report.analysis import Analysis
from ablate.report.collect import Run
from ablate.report.curves import Amount, Cost
from ablate.report.differences import ABSENT, can_change_results, covers, differing, group, value_of
from ablate.report.metric import number, p_value
from ablate.report.pictures import Pictures

MAX_REASON = 120  # characters of an error in the table of runs


@dataclass(frozen=True)
class RunLine:
    """One run. `link` is relative to the report's folder; `status` says why a run does not count."""

    variant: str
    seed: int
    value: str
    best_epoch: str
    epochs: int
    minutes: str
    status: str
    counts: bool
    name: str
    link: str


def run_lines(analysis: Analysis, folder: Path) -> list[RunLine]:
    """By variant and seed, the runs that count first."""
    design, metric = analysis.design, analysis.settings.metric
    place = {arm.label: i for i, arm in enumerate(design.arms)}
    runs = sorted(
        analysis.collection.runs, key=lambda run: (run in design.unused, place[design.label(run)], run.record.seed)
    )
    lines = []
    for run in runs:
        record, value = run.record, run.metric(metric.name)
        epoch = record.checkpoint.get("epoch")
        seconds = record.seconds.get("total")
        lines.append(
            RunLine(
                variant=design.label(run),
                seed=record.seed,
                value=number(None if value is None else metric.scale * value, 2 if metric.is_fraction else 4),
                best_epoch=str(epoch + 1) if isinstance(epoch, int) else "-",
                epochs=record.epochs,
                minutes=number(seconds / 60, 1) if isinstance(seconds, int | float) else "-",
                status=_cut(design.unused.get(run, "done")),
                counts=run not in design.unused,
                name=run.folder.name,
                link=link(run.folder, folder) + "/",
            )
        )
    return lines


def _cut(reason: str) -> str:
    """results.csv and the run's log have it whole."""
    return reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"


def link(path: Path, folder: Path) -> str:
    """The address of `path` for a page in `folder`."""
    return quote(Path(os.path.relpath(path, folder.resolve())).as_posix(), safe="/=,.")


def cost_lines(analysis: Analysis) -> list[list[str]]:
    """Variant, epochs and seconds to the target, seconds of training, pictures/s, MB, parameters; mean and interval."""
    return [
        [
            cost.arm.label,
            _epochs_to_target(cost),
            _amount(cost.seconds_to_target),
            _amount(cost.seconds),
            _amount(cost.images_per_second),
            _amount(cost.peak_memory, 1e-6),
            f"{cost.num_parameters:,}" if cost.num_parameters else "-",
        ]
        for cost in analysis.costs
    ]


def mcnemar_lines(pictures: Pictures) -> list[list[str]]:
    """Seed, pictures that only the one and only the other gets right, McNemar's p."""
    return [[str(each.seed), str(each.only_a), str(each.only_b), p_value(each.p)] for each in pictures.pairs_of_runs]


def picture_lines(pictures: Pictures) -> list[list[str]]:
    """Place in the test set, label, and for either arm in how many seeds it is right and what it says most often."""
    n, classes = len(pictures.seeds), pictures.arm_a.runs[0].record.classes

    def name(label: int) -> str:
        return str(classes[label]) if label < len(classes) else str(label)

    return [
        [str(p.index), name(p.label), f"{p.right_a} of {n}, {name(p.says_a)}", f"{p.right_b} of {n}, {name(p.says_b)}"]
        for p in pictures.most_different
    ]


def config_lines(analysis: Analysis) -> list[list[str]]:
    """Key, what the key is to this report, its values with the number of runs."""
    runs, factors = analysis.collection.runs, analysis.design.factors
    found = dict(differing(runs))
    for key in factors:  # a swept group, such as optimizer=sgd,adamw, is no key of the config itself
        found.setdefault(key, group(runs, (value_of(run, key) for run in runs)))
    return [[key, _role(key, runs, factors), _values(found[key])] for key in sorted(found)]


def shared_facts(analysis: Analysis) -> list[list[str]]:
    """What ran on what: code, device, libraries, data. Several values are all named."""
    runs = analysis.collection.runs
    facts = {
        "code": [str(run.record.git.get("commit", ""))[:12] for run in runs],
        "device": [str(run.record.device.get("name") or run.record.device.get("kind") or "") for run in runs],
        "data": [str(run.record.data_checksum or "")[:12] for run in runs],
        **{
            name: [str(run.record.versions.get(name, "")) for run in runs]
            for name in ("ablate", "python", "torch", "pytorch-lightning")
        },
    }
    return [[name, ", ".join(sorted(found))] for name, values in facts.items() if (found := set(values) - {""})]


def _epochs_to_target(cost: Cost) -> str:
    if cost.epochs_to_target or not cost.num_curves:
        return _amount(cost.epochs_to_target)
    return f"reached by {cost.num_reached} of {cost.num_curves}"


def _amount(amount: Amount | None, scale: float = 1.0) -> str:
    if amount is None:
        return "-"
    places = 1 if scale * amount.mean < 100 else 0
    text = number(scale * amount.mean, places)
    if amount.interval is None:
        return text
    low, high = (number(scale * max(0.0, bound), places) for bound in amount.interval)  # none of them can be negative
    return f"{text} ({low} to {high})"


def _role(key: str, runs: Sequence[Run], factors: Iterable[str]) -> str:
    if any(covers(factor, key) for factor in factors):
        return "compared"
    if key == "seed":
        return "replicates"
    return "else" if can_change_results(key, runs) else "bookkeeping"


def _values(levels: dict[str, list[Run]]) -> str:
    counts = [f"{text if text != ABSENT else '(none)'} in {len(runs)}" for text, runs in levels.items()]
    return ", ".join(counts[:8]) + (f" and {len(counts) - 8} more" if len(counts) > 8 else "")
