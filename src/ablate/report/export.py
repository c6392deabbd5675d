"""The report for programs: `results.csv`, one row a run, and `report.json`, every number of the analysis."""

import csv
import io
import json
import math
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ablate.report.analysis import Analysis
from ablate.report.arms import Arm
from ablate.report.differences import level, value_of
from ablate.report.verdict import Comparison

SCHEMA = 1  # of report.json


def results_csv(analysis: Analysis, folder: Path) -> str:
    """Metrics as in the records: accuracies in [0, 1], all digits. `counts`: used in a comparison."""
    design, runs = analysis.design, analysis.collection.runs
    metrics = sorted({name for run in runs for name in run.record.metrics})
    place = ("folder", "variant", *design.factors, "seed", "status", "counts", "why_not")
    facts = ("best_epoch", "epochs", "fit_seconds", "images_per_second", "peak_memory_bytes", "config_hash")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_text(each) for each in [*place, *metrics, *facts])
    for run in runs:
        record = run.record
        writer.writerow(
            _text(each)
            for each in [
                Path(os.path.relpath(run.folder, folder.resolve())).as_posix(),
                design.label(run),
                *(level(value_of(run, key)) for key in design.factors),
                record.seed,
                record.status,
                str(run not in design.unused).lower(),
                design.unused.get(run, ""),
                *(_cell(record.metrics.get(name)) for name in metrics),
                _cell(record.checkpoint.get("epoch")),
                record.epochs,
                _cell(record.seconds.get("fit")),
                _cell(record.images_per_second),
                _cell(record.peak_memory),
                record.config_hash,
            ]
        )
    return text.getvalue()


def report_json(analysis: Analysis) -> str:
    """Numbers in the report's unit, points for accuracies. What could not be computed is null."""
    settings = analysis.settings
    content = {
        "schema": SCHEMA,
        "metric": settings.metric.name,
        "unit": settings.metric.unit,
        "margin": settings.margin,
        "level": settings.level,
        "target": analysis.target,
        "sentences": analysis.sentences,
        "refused": [refusal.key for refusal in analysis.refusals],
        "notes": analysis.notes,
        "factors": analysis.design.factors,
        "arms": [
            {"label": arm.label, "levels": arm.levels, "values": {str(seed): v for seed, v in arm.values.items()}}
            for arm in analysis.design.arms
        ],
        "effects": analysis.effects,
        "pairs": analysis.pairs,
        "pictures": analysis.pictures,
        "costs": analysis.costs,
    }
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Arm):
        return value.label
    if isinstance(value, Comparison):
        own = {field.name: getattr(value, field.name) for field in fields(value) if field.name != "contrast"}
        return _plain({"over": value.contrast.over, **own, "t": value.t, "p": value.p})
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _text(cell: Any) -> Any:
    """A cell that a spreadsheet takes for a formula, made plain by the mark that spreadsheets hide; numbers stay."""
    starts_one = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if starts_one and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cell(value: Any) -> Any:
    """Floats with all their digits; nothing for None."""
    return "" if value is None else repr(value) if isinstance(value, float) else value
