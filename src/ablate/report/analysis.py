"""Everything a report says, computed: from collected runs and the reader's options to comparisons and sentences."""

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.errors import Problem, UserError
from ablate.report import guard
from ablate.report.arms import Contrast, Design, find_arms, short_names
from ablate.report.collect import Collection, Run
from ablate.report.curves import Cost, cost
from ablate.report.metric import Metric, decimals, number
from ablate.report.pictures import Pictures, compare_pictures
from ablate.report.sentence import sentence
from ablate.report.verdict import Comparison, Settings, compare_all

DEFAULT_METRIC, DEFAULT_MARGIN = "test/accuracy", 0.2  # for records that say nothing
DEFAULT_TARGET = 87.0  # points, the course assignment's; for configs whose report.target is null
MAX_PICTURE_COMPARISONS = 3


@dataclass(frozen=True)
class Options:
    """What the reader asked for; None: as the records' configs say. `margin` in the metric's unit, points or plain."""

    metric: str | None = None
    factor: str | None = None
    margin: float | None = None
    level: float = 0.95
    baseline: str | None = None
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """`effects`: the comparisons in question; `pairs`: every variant against the baseline, where there are factors
    enough to make that another question."""

    folders: tuple[Path, ...]
    options: Options
    settings: Settings
    target: float  # points of validation accuracy
    collection: Collection
    design: Design
    refusals: tuple[guard.Refusal, ...]
    notes: tuple[str, ...]  # what to know before believing the answer
    effects: tuple[Comparison, ...]
    pairs: tuple[Comparison, ...]
    pictures: tuple[Pictures, ...]
    costs: tuple[Cost, ...]
    sentences: tuple[str, ...]


def analyse(collection: Collection, folders: Sequence[Path], options: Options) -> Analysis:
    """Raises `UserError` for options that do not fit the runs; whatever is wrong with the runs becomes a sentence."""
    runs = collection.runs
    settings, target, disagreements = _settings(runs, options)
    design = find_arms(runs, settings.metric, options.factor, options.baseline)
    fairness = guard.check(design, settings.metric.name, options.allow)
    several = len(design.factors) > 1
    questions = design.main_effects() if several else design.pairs()
    effects: list[Comparison] = []
    pairs: list[Comparison] = []
    if not fairness.refusals:
        effects = compare_all(_complete(questions), settings, control=not several)
        if several and not options.factor:
            pairs = compare_all(_complete(design.pairs()), settings, control=True)
    found = Analysis(
        folders=tuple(folders),
        options=options,
        settings=settings,
        target=target,
        collection=collection,
        design=design,
        refusals=fairness.refusals,
        notes=(*_progress(collection, design), *collection.problems, *disagreements, *fairness.warnings),
        effects=tuple(effects),
        pairs=tuple(pairs),
        pictures=tuple(_pictures(pairs or effects, options.level)),
        costs=() if fairness.refusals else tuple(cost(arm, target, options.level) for arm in design.arms if arm.runs),
        sentences=tuple(_answers(design, settings, effects, pairs)),
    )
    return replace(found, sentences=(_refused(found),)) if fairness.refusals else found


def command(folders: Sequence[Path], options: Options, *more: str) -> str:
    """What to type to make the report again."""
    given = {
        "metric": options.metric,
        "factor": options.factor,
        "margin": options.margin,
        "level": options.level if options.level != Options.level else None,
        "baseline": options.baseline,
    }
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None]
    words += [f"--allow {shlex.quote(key)}" for key in options.allow]
    places = [shlex.quote(str(folder)) for folder in folders]
    return " ".join(["python -m ablate report", *places, *words, *more])


def override(analysis: Analysis) -> str:
    """What to type to compare all the same."""
    keys = [shlex.quote(refusal.key) for refusal in analysis.refusals]
    # Of runs from no sweep somebody has to say which key is meant.
    asked = [] if analysis.design.factors else [f"--factor {keys.pop(0)}"]
    return command(analysis.folders, analysis.options, *asked, *(f"--allow {key}" for key in keys))


def _complete(contrasts: Sequence[Contrast]) -> list[Contrast]:
    return [each for each in contrasts if each.values_a and each.values_b]


def _pictures(comparisons: Sequence[Comparison], level: float) -> list[Pictures]:
    arms = [(each.contrast.arm_a, each.contrast.arm_b) for each in comparisons]
    both = [(a, b) for a, b in arms if a and b][:MAX_PICTURE_COMPARISONS]
    return [found for a, b in both if (found := compare_pictures(a, b, level))]


def _settings(runs: Sequence[Run], options: Options) -> tuple[Settings, float, list[str]]:
    notes: list[str] = []

    def configured(key: str, default: Any) -> Any:
        kinds = (str,) if isinstance(default, str) else (int, float)
        values = Counter(value for run in runs if isinstance(value := run.config.get(key), kinds))
        if len(values) > 1:
            found = ", ".join(str(value) for value in values)
            notes.append(f"{key} differs between the runs ({found}): {values.most_common(1)[0][0]} is used.")
        return values.most_common(1)[0][0] if values else default

    name = options.metric or str(configured("report.metric", DEFAULT_METRIC))
    metric = Metric(name)
    margin = options.margin
    if margin is None and metric.is_fraction:
        margin = float(configured("report.margin", DEFAULT_MARGIN)) or None
    target = float(configured("report.target", DEFAULT_TARGET))
    problems = []
    if not 0.5 < options.level < 1:
        problems.append(Problem(f"--level {options.level:g}", "a number between 0.5 and 1", "--level 0.95"))
    if options.margin is not None and not (math.isfinite(options.margin) and options.margin > 0):
        allowed = f"a number above 0, in {metric.unit or metric.words}"
        problems.append(Problem(f"--margin {options.margin:g}", allowed, "--margin 0.2"))
    done = [run for run in runs if run.record.status == "done"]
    logged = sorted({key for run in done for key in run.record.metrics})
    if logged and name not in logged:
        given = f"--metric {name}" if options.metric else f"report.metric={name}"
        best = DEFAULT_METRIC if DEFAULT_METRIC in logged else logged[0]
        problems.append(Problem(f"{given} was never logged", f"one of {', '.join(logged)}", f"--metric {best}"))
    UserError.raise_all(problems)
    return Settings(metric, margin, options.level), target, notes


def _progress(collection: Collection, design: Design) -> list[str]:
    """How many runs count, and what became of the others."""
    num_used = sum(len(arm.runs) for arm in design.arms)
    num_planned = max(len(collection.runs), collection.num_planned or 0)
    rest = Counter(_fate(run, why) for run, why in design.unused.items())
    rest["not started"] = num_planned - len(collection.runs)
    if num_used == num_planned:
        return []
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(rest.items()) if count)
    final = "" if not rest["running"] + rest["not started"] else " The verdict is not final."
    return [f"{num_used} of {num_planned} runs count: {fates}.{final}"]


def _fate(run: Run, why: str) -> str:
    if run.record.status != "done":
        return run.record.status
    return "repeated" if why.startswith("same variant") else "without a result"


def _refused(analysis: Analysis) -> str:
    refusals = analysis.refusals
    what = "; ".join(refusal.what for refusal in refusals[:3])
    more = f"; and {len(refusals) - 3} more" if len(refusals) > 3 else ""
    return f"No comparison: {what}{more}. To compare all the same, type: {override(analysis)}"


def _answers(
    design: Design, settings: Settings, effects: Sequence[Comparison], pairs: Sequence[Comparison]
) -> list[str]:
    found = [sentence(each, settings) for each in (*effects, *pairs)]
    if len(design.factors) > 1:
        missing = [] if effects else [_alone(design, settings)]
        return [*missing, *found]
    for contrast in design.pairs():
        sides = ((contrast.a, contrast.values_a), (contrast.b, contrast.values_b))
        lacking = [label for label, values in sides if not values]
        if lacking:
            have = "have" if len(lacking) > 1 else "has"
            found.append(f"{contrast.a} - {contrast.b}: no comparison yet, {' and '.join(lacking)} {have} no result")
    return found or [_alone(design, settings)]


def _alone(design: Design, settings: Settings) -> str:
    """What can be said of runs that are not compared."""
    values = [value for arm in design.arms for value in arm.values.values()]
    if not values:
        return f"No run has a {settings.metric.words} yet: there is nothing to compare"
    if len(design.arms) > 1:
        names = " and ".join(short_names(design.factors).values())
        return f"The main effects of {names} cannot be computed: no seed has run in all the variants they need"
    mean = sum(values) / len(values)
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None
    spread = f", standard deviation {number(sd, decimals(sd))}" if sd is not None else ""
    runs = f"{len(values)} run{'s' * (len(values) > 1)}"
    return f"One variant, {runs}: {settings.metric.axis} {number(mean)}{spread}; a comparison needs a second variant"
