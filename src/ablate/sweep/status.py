"""`python -m ablate status`: how far runs and sweeps have come. Reads files only, and writes none."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablate.errors import UserError
from ablate.record import FILE_NAME
from ablate.sweep.manifest import Manifest, PlannedRun, is_sweep
from ablate.sweep.state import state_of
from ablate.sweep.table import progress_in_words, terminal

COLOURS = {"done": "green", "failed": "red", "diverged": "red", "interrupted": "yellow", "running": "cyan"}
ORDER = ("running", "interrupted", "failed", "diverged", "pending", "done")
MAX_ROWS = 40  # of a sweep; the others are counted


def show_status(folder: Path, console: Console | None = None) -> int:
    """Print it. The exit code: 0 if everything is done or running, 1 if something has to be seen to."""
    console = console or terminal()
    if not folder.is_dir():
        raise UserError.of(
            f"{folder} is no folder", "a sweep, a run, or a folder of them", "python -m ablate status outputs"
        )
    if is_sweep(folder):
        return _show_sweep(folder, console)
    if (folder / FILE_NAME).is_file():
        return _show_run(folder, console)
    return _show_all(folder, console)


def _show_sweep(folder: Path, console: Console) -> int:
    manifest = Manifest.read(folder).refreshed(folder)
    counts = Counter(run.status for run in manifest.runs.values())
    console.print(f"{escape(manifest.command)}\n{_counts(counts)}", soft_wrap=True)
    shown = [run for run in manifest.runs.values() if run.status not in ("done", "pending")]
    if shown:
        table = Table("run", "status", "attempts", "", box=None, pad_edge=False)
        for run in sorted(shown, key=lambda run: ORDER.index(run.status))[:MAX_ROWS]:
            table.add_row(escape(run.folder), _coloured(run.status), str(run.attempts), escape(_words(folder, run)))
        console.print(table)
        if len(shown) > MAX_ROWS:
            console.print(f"and {len(shown) - MAX_ROWS} more")
    if counts["interrupted"] or counts["pending"]:
        console.print(f"go on:     python -m ablate resume '{folder}'", soft_wrap=True, markup=False)
    if counts["failed"] or counts["diverged"]:
        console.print(f"try again: python -m ablate resume '{folder}' --retry-failed", soft_wrap=True, markup=False)
    return int(bool(counts["failed"] or counts["diverged"] or counts["interrupted"]))


def _show_run(folder: Path, console: Console) -> int:
    state = state_of(folder)
    words = progress_in_words(state.progress).words if state.progress else state.reason or ""
    console.print(f"{_coloured(state.status)}  {escape(words)}", soft_wrap=True)
    return int(state.status in ("failed", "diverged", "interrupted"))


def _show_all(folder: Path, console: Console) -> int:
    """A line for each sweep, and for each run outside of one, the newest first."""
    sweeps = [path.parent for path in folder.rglob("sweep.json")]
    runs = [path.parent for path in folder.rglob(FILE_NAME) if not is_sweep(path.parent.parent)]
    if not sweeps and not runs:
        raise UserError.of(f"{folder} holds no run and no sweep", "a folder of runs or sweeps", "python train.py")
    table = Table("folder", "status", box=None, pad_edge=False)
    for path in sorted([*sweeps, *runs], key=lambda path: path.stat().st_mtime, reverse=True):
        if path in runs:
            table.add_row(escape(str(path)), _coloured(state_of(path).status))
            continue
        try:
            manifest = Manifest.read(path).refreshed(path)
        except UserError as error:
            table.add_row(escape(str(path)), f"[red]{escape(error.problems[0].given)}[/]")
            continue
        table.add_row(escape(str(path)), _counts(Counter(run.status for run in manifest.runs.values())))
    console.print(table)
    return 0


def _counts(counts: Counter[str]) -> str:
    total = sum(counts.values())
    others = [f"{counts[status]} {_coloured(status)}" for status in ORDER if counts[status] and status != "done"]
    return "  ".join([f"{counts['done']} of {total} [green]done[/]", *others])


def _coloured(status: str) -> str:
    colour = COLOURS.get(status)
    return f"[{colour}]{status}[/]" if colour else status


def _words(folder: Path, run: PlannedRun) -> str:
    if run.status == "running":
        progress = state_of(folder / run.folder).progress
        return progress_in_words(progress).words if progress else "starting"
    return run.reason or ""
