"""The report to read: `report.html`, and `report.md` for a pull request or a terminal.

Words and numbers are made in Python; the templates only place them. Jinja escapes HTML, `_markdown` Markdown.
"""

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup
from PIL import Image

from ablate.report import figures, tables
from ablate.report.analysis import Analysis, command, override
from ablate.report.arms import Arm, short_names
from ablate.report.details import details, summary
from ablate.report.metric import number
from ablate.report.pictures import Pictures
from ablate.report.sentence import measured, parts, sentence, tally
from ablate.report.statistics import POWER
from ablate.report.verdict import Comparison

SYMBOLS = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}
CURVES = ("val/accuracy", "train/accuracy", "val/loss", "train/loss")
MAX_ANSWERS = 8  # sentences at the top; the table has all comparisons
MAX_DETAILS = 4  # effects shown number by number; report.json has the numbers of all
MAX_NOTES = 20
MAX_SPOKEN = 20  # values of a variant, for who cannot see the picture; results.csv has all
MAX_LINES = 500  # of a table; a browser takes more, a reader does not
SHEET_SIZE = (900, 1400)  # px, of a Grad-CAM sheet on the page

T = TypeVar("T")


@dataclass(frozen=True)
class Drawing:
    """A picture, the words that stand for it, and what to look for."""

    svg: Markup
    alt: str
    caption: str


def pages(analysis: Analysis, folder: Path) -> dict[str, str]:
    """File name -> content, each whole in one string, to be written into `folder`: links are relative to it."""
    view = _view(analysis, folder)
    page = _environment(autoescape=True).get_template("report.html.j2")
    text = _environment(finalize=_markdown).get_template("report.md.j2")
    return {"report.md": text.render(**view), "report.html": page.render(**view, **_pictures_of(analysis, folder))}


def some_notes(analysis: Analysis) -> list[str]:
    notes = list(analysis.notes)
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"And {len(notes) - MAX_NOTES} more, in report.json."]
    return notes


def _environment(**options: Any) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def _markdown(value: Any) -> Any:
    """Text stays text in Markdown too: no tag, no table cell, no emphasis of its own."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = re.sub(r"\s+", " ", value).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for mark in "|*_`[]":
        text = text.replace(mark, f"\\{mark}")
    return text


def _view(analysis: Analysis, folder: Path) -> dict[str, Any]:
    settings = analysis.settings
    asked = analysis.effects or analysis.pairs
    shown = asked[:MAX_DETAILS]
    answers = [(c.verdict, SYMBOLS[c.verdict], *parts(c, settings)) for c in asked]
    said = {sentence(c, settings) for c in (*analysis.effects, *analysis.pairs)}
    answers.sort(key=lambda each: each[0] == "inconclusive")  # if not all can be shown, then those that say something
    return {
        "title": _title(analysis),
        "answers": answers[:MAX_ANSWERS],
        "tally": tally(asked) if len(answers) > MAX_ANSWERS else "",
        "other_sentences": [each for each in analysis.sentences if each not in said],
        "refusals": [(each.what, f"--allow {each.key}") for each in analysis.refusals],
        "override": override(analysis) if analysis.refusals else "",
        "notes": some_notes(analysis),
        "summaries": [
            (name, _some(summary(each), lambda line: line[-1] != "inconclusive"), len(each))
            for name, each in (
                ("Main effects" if analysis.pairs else "Comparisons", analysis.effects),
                ("Every variant against the baseline", analysis.pairs),
            )
            if len(each) > 1
        ],
        "detailed": [f"{c.a.label} - {c.b.label}" for c in shown],
        "details": details(shown, settings) if shown else [],
        "costs": _some(tables.cost_lines(analysis)),
        "num_costs": len(analysis.costs),
        "pictures": [
            (each, _some(tables.mcnemar_lines(each)), tables.picture_lines(each)) for each in analysis.pictures
        ],
        "runs": _some(tables.run_lines(analysis, folder), lambda line: not line.counts),
        "num_runs": len(analysis.collection.runs),
        "configs": tables.config_lines(analysis),
        "facts": tables.shared_facts(analysis),
        "metric": settings.metric,
        "margin": settings.margin,
        "level": f"{100 * settings.level:g}",
        "one_sided_level": f"{100 * (2 * settings.level - 1):g}",
        "alpha": f"{settings.alpha:.3g}",
        "power": f"{100 * POWER:g}",
        "target": f"{analysis.target:g}",
        "again": command(analysis.folders, analysis.options),
        "number": number,
    }


def _some(lines: Sequence[T], rather: Callable[[T], bool] = lambda line: False) -> list[T]:
    """At most `MAX_LINES`, in their order: those that one would `rather` see, then the others from the first on."""
    chosen = sorted(range(len(lines)), key=lambda place: not rather(lines[place]))[:MAX_LINES]
    return [lines[place] for place in sorted(chosen)]


def _title(analysis: Analysis) -> str:
    factors, metric = list(short_names(analysis.design.factors).values()), analysis.settings.metric
    if not factors:
        return f"{metric.words[:1].upper()}{metric.words[1:]}"
    verb = "does" if len(factors) == 1 else "do"
    names = factors[0] if len(factors) == 1 else f"{', '.join(factors[:-1])} and {factors[-1]}"
    return f"What {verb} {names} do to {metric.words}?"


def _pictures_of(analysis: Analysis, folder: Path) -> dict[str, Any]:
    """What only the HTML page has."""
    design = analysis.design
    nothing: dict[str, Any] = {"drawings": [], "curves": [], "sheets": []}
    if analysis.refusals or not any(arm.values for arm in design.arms):
        return nothing
    asked = analysis.effects or analysis.pairs
    differences = [_differences(asked, analysis)] if asked else []
    arms = [arm for arm in design.arms if arm.runs]
    return {
        "drawings": [*differences, _runs(arms, analysis)],
        "curves": [drawing for name in CURVES if (drawing := _curves(arms, name, analysis))],
        "sheets": _sheets(analysis.pictures[0], folder) if analysis.pictures else [],
    }


def _differences(comparisons: Sequence[Comparison], analysis: Analysis) -> Drawing:
    settings = analysis.settings
    shown = comparisons[: figures.MAX_ROWS]
    caption = [
        f"The bar is the {100 * settings.level:g} % interval of the difference, the diamond its middle, the dots the "
        "differences seed by seed."
    ]
    if len(comparisons) > 1:
        caption.append("The thin line holds for all comparisons together.")
    if settings.margin:
        caption.append(f"The band is the margin of {settings.margin:g}: a difference inside it does not matter.")
    if len(comparisons) > len(shown):
        caption.append(f"The first {len(shown)} of {len(comparisons)} are shown.")
    alt = "Differences: " + "; ".join(measured(c, settings) for c in shown)
    return Drawing(Markup(figures.differences(shown, settings)), alt, " ".join(caption))


def _runs(arms: Sequence[Arm], analysis: Analysis) -> Drawing:
    settings = analysis.settings
    shown = arms[: figures.MAX_ROWS]
    caption = f"Every run is a mark. The bar is the mean with its {100 * settings.level:g} % interval."
    if figures.joined(shown):
        caption += " Runs of one seed are joined: lines that all lean one way speak for a difference."
    if len(arms) > len(shown):
        caption += f" The first {len(shown)} of {len(arms)} variants are shown."
    spoken = {arm.label: [number(value) for value in arm.values.values()] for arm in shown}
    values = "; ".join(
        f"{label} {', '.join(each[:MAX_SPOKEN])}{' and so on' if len(each) > MAX_SPOKEN else ''}"
        for label, each in spoken.items()
    )
    return Drawing(Markup(figures.runs(shown, settings.metric, settings.level)), f"The runs: {values}", caption)


def _curves(arms: Sequence[Arm], name: str, analysis: Analysis) -> Drawing | None:
    shown = arms[: figures.MAX_CURVES]
    svg = figures.curves(shown, name, analysis.target if name == "val/accuracy" else None)
    if svg is None:
        return None
    what = f"{name.replace('train/', 'training ').replace('val/', 'validation ')} by epoch"
    more = f", the first {len(shown)} of {len(arms)} variants" if len(arms) > len(shown) else ""
    return Drawing(Markup(svg), f"{what} of {', '.join(arm.label for arm in shown)}", f"{what}{more}")


@dataclass(frozen=True)
class Sheet:
    """A Grad-CAM sheet, made small; `link` leads to the whole."""

    title: str
    address: str
    link: str


def _sheets(pictures: Pictures, folder: Path) -> list[Sheet]:
    """The last sheet of either arm at the first shared seed; none unless both have one."""
    seed = pictures.seeds[0]
    runs = [next(run for run in arm.runs if run.record.seed == seed) for arm in (pictures.arm_a, pictures.arm_b)]
    found = []
    for run, arm in zip(runs, (pictures.arm_a, pictures.arm_b), strict=True):
        sheets = sorted((run.folder / "gradcam").glob("epoch_*.png"))
        address = _small(sheets[-1]) if sheets else None
        if address is None:
            return []
        found.append(Sheet(f"{arm.label}, seed {seed}", address, tables.link(sheets[-1], folder)))
    return found


def _small(path: Path) -> str | None:
    """A picture as a data address; None if it cannot be read."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # Pillow's for a broken PNG
        return None
    picture.thumbnail(SHEET_SIZE)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
