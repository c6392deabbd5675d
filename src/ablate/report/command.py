"""Make the report of a sweep: after every finished run, and by `python -m ablate report SWEEP...`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import UserError
from ablate.record import write_atomically
from ablate.report import export, page
from ablate.report.analysis import Analysis, Options, analyse
from ablate.report.collect import collect
from ablate.report.sentence import tally

MAX_SENTENCES = 12  # on the terminal


@dataclass(frozen=True)
class Report:
    """What was found, and where it is written down. Printed, it is what to show on a terminal."""

    analysis: Analysis
    page: Path

    def __str__(self) -> str:
        said = list(self.analysis.sentences)
        if len(said) > MAX_SENTENCES:
            all_in_all = tally([*self.analysis.effects, *self.analysis.pairs])
            said[MAX_SENTENCES:] = [f"and {len(said) - MAX_SENTENCES} more in the report; all in all {all_in_all}"]
        notes = [f"note: {note}" for note in page.some_notes(self.analysis)]
        return "\n".join([*said, *notes, f"report: {self.page}"])


def report(
    folders: Sequence[Path],
    *,
    metric: str | None = None,
    factor: str | None = None,
    margin: float | None = None,
    level: float = 0.95,
    baseline: str | None = None,
    allow: Sequence[str] = (),
) -> Report:
    """Write report.html, report.md, results.csv and report.json into the first of `folders`, each in one step.

    metric:   a metric of the records, such as "val/loss"; by default report.metric of their configs
    factor:   the key whose effect is asked for; by default every key the sweep varied
    margin:   a smaller difference would not matter; in points for accuracies; by default report.margin
    baseline: the level to compare with, such as "nesterov=false"; by default false, null, the smallest
    allow:    keys in which runs may differ although nobody asked about them, such as "versions.torch"

    Reads whatever is there, finished or not, so it may be called at any time. Raises `UserError` for options or folders
    that do not fit; what is wrong with a run becomes a sentence.
    """
    options = Options(metric, factor, margin, level, baseline, tuple(allow))
    analysis = analyse(collect(folders), folders, options)
    folder = folders[0]
    contents = {
        "results.csv": export.results_csv(analysis, folder),
        "report.json": export.report_json(analysis),
        **page.pages(analysis, folder),
    }
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as cause:
        raise UserError.of(
            f"{folder} cannot be written to ({cause})", "a folder of your own", f"ls -ld {folder}"
        ) from None
    return Report(analysis, folder / "report.html")
