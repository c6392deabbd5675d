"""Over time: learning curves of an arm, how soon it reaches a target, and what its runs cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.report.arms import Arm
from ablate.report.collect import Run
from ablate.report.metric import Metric
from ablate.report.statistics import Floats, mean_interval

REACHES = "val/accuracy"  # the target is looked for here: the test set is read once, at the end


@dataclass(frozen=True)
class Curve:
    """Mean and standard deviation over the runs of an arm, by epoch (from 1), in the metric's unit."""

    epochs: Floats
    mean: Floats
    sd: Floats  # zeros for one run


@dataclass(frozen=True)
class Amount:
    """Mean over `n` runs with its t interval, None below two."""

    n: int
    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Cost:
    """What the runs of an arm took. An amount is None if no run has it."""

    arm: Arm
    num_reached: int  # runs that reached the target
    num_curves: int  # runs that have a curve to look at
    epochs_to_target: Amount | None  # None unless all of these reached it: the mean of the quick ones flatters
    seconds_to_target: Amount | None
    seconds: Amount | None  # of training, validation included
    images_per_second: Amount | None
    peak_memory: Amount | None  # bytes
    num_parameters: int | None


def curve(arm: Arm, name: str) -> Curve | None:
    """The epochs that every run of the arm has; None if there are none."""
    columns = [run.curve.get(name, []) for run in arm.runs]
    num_epochs = min((len(column) for column in columns), default=0)
    if not num_epochs:
        return None
    values = Metric(name).scale * np.array([column[:num_epochs] for column in columns])
    keep = np.isfinite(values).all(axis=0)
    if not keep.any():
        return None
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(num_epochs)
    return Curve(np.arange(1.0, num_epochs + 1)[keep], values.mean(axis=0)[keep], sd[keep])


def cost(arm: Arm, target: float, level: float) -> Cost:
    """`target`: points of validation accuracy."""
    with_curve = [run for run in arm.runs if run.curve.get(REACHES)]
    reached = [place for run in with_curve if (place := _first_at(run, target / 100)) is not None]
    all_did = bool(reached) and len(reached) == len(with_curve)
    parameters = {run.record.num_parameters for run in arm.runs}
    return Cost(
        arm=arm,
        num_reached=len(reached),
        num_curves=len(with_curve),
        epochs_to_target=_amount([epoch for epoch, _ in reached], level) if all_did else None,
        seconds_to_target=_amount([seconds for _, seconds in reached], level) if all_did else None,
        seconds=_amount([run.record.seconds.get("fit") for run in arm.runs], level),
        images_per_second=_amount([run.record.images_per_second for run in arm.runs], level),
        peak_memory=_amount([run.record.peak_memory for run in arm.runs], level),
        num_parameters=parameters.pop() if len(parameters) == 1 else None,
    )


def _first_at(run: Run, target: float) -> tuple[float, float] | None:
    """Epochs and seconds of training until validation accuracy is at `target`; None if it never is."""
    for i, value in enumerate(run.curve[REACHES]):
        if value >= target:
            seconds = run.curve.get("seconds", [])
            return float(i + 1), seconds[i] if i < len(seconds) else math.nan
    return None


def _amount(values: Sequence[float | None], level: float) -> Amount | None:
    known = np.array([each for each in values if isinstance(each, int | float) and math.isfinite(each)], dtype=float)
    return Amount(len(known), float(known.mean()), mean_interval(known, level)) if len(known) else None
