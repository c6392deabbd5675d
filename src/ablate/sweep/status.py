"""`python -m ablate status`: how far runs and sweeps have come. Reads files only, and writes none.

Of many runs it shows those that somebody has to see to, and counts the others.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablate.errors import UserError
from ablate.record import FILE_NAME, find_folders
from ablate.record import MANIFEST_NAME as MANIFEST
from ablate.sweep.manifest import Manifest, PlannedRun, is_sweep
from ablate.sweep.state import state_of
from ablate.sweep.table import progress_in_words, terminal

COLOURS = {"done": "green", "failed": "red", "diverged": "red", "interrupted": "yellow", "running": "cyan"}
ORDER = ("running", "interrupted", "failed", "diverged", "pending", "done")
MAX_ROWS = 40  # of a table
MAX_COMMAND = 200  # characters of a command; sweep.json has it whole

T = TypeVar("T")


def show_status(folder: Path, console: Console | None = None, *, all_runs: bool = False) -> int:
    """Print it. The exit code, of a run or a sweep: 0 if everything is done or running or still to come, 1 if something
    has to be seen to. Of a folder of several it is 0.

    all_runs: a row for each run, however many there are.
    """
    console = console or terminal()
    if not folder.is_dir():
        raise UserError.of(
            f"{folder} is no folder", "a sweep, a run, or a folder of them", "python train.py, which makes one"
        )
    if is_sweep(folder):
        return _show_sweep(folder, console, all_runs)
    if (folder / FILE_NAME).is_file():
        return _show_run(folder, console)
    return _show_all(folder, console, all_runs)


def _show_sweep(folder: Path, console: Console, all_runs: bool) -> int:
    manifest = Manifest.read(folder).refreshed(folder)
    counts = Counter(run.status for run in manifest.runs.values())
    command = manifest.command if all_runs else _cut(manifest.command)
    console.print(f"{escape(command)}\n{_counts(counts)}", soft_wrap=True)
    shown = [run for run in manifest.runs.values() if all_runs or run.status not in ("done", "pending")]
    if not all_runs:
        shown.sort(key=lambda run: ORDER.index(run.status))
    _print_rows(
        ["run", "status", "attempts", ""],
        shown,
        lambda run: (escape(run.folder), _coloured(run.status), str(run.attempts), escape(_words(folder, run))),
        console,
        all_runs,
    )
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


def _show_all(folder: Path, console: Console, all_runs: bool) -> int:
    """A line for each sweep, and for each run outside of one, the newest first."""
    sweeps = set(find_folders(folder, MANIFEST))
    runs = {path for path in find_folders(folder, FILE_NAME) if path.parent not in sweeps}
    if not sweeps and not runs:
        raise UserError.of(f"{folder} holds no run and no sweep", "a folder of runs or sweeps", "python train.py")
    newest = sorted(sweeps | runs, key=lambda path: path.stat().st_mtime, reverse=True)
    _print_rows(
        ["folder", "status"],
        newest,
        lambda path: (escape(str(path)), _of_sweep(path) if path in sweeps else _coloured(state_of(path).status)),
        console,
        all_runs,
    )
    return 0


def _of_sweep(folder: Path) -> str:
    try:
        manifest = Manifest.read(folder).refreshed(folder)
    except UserError as error:
        return f"[red]{escape(error.problems[0].given)}[/]"
    return _counts(Counter(run.status for run in manifest.runs.values()))


def _print_rows(
    head: Sequence[str], what: Sequence[T], row: Callable[[T], Sequence[str]], console: Console, all_rows: bool
) -> None:
    """A table of them, cut where it would become long. `row` is asked for what is shown alone."""
    shown = what if all_rows else what[:MAX_ROWS]
    if shown:
        table = Table(*head, box=None, pad_edge=False)
        for each in shown:
            table.add_row(*row(each))
        console.print(table)
    if len(what) > len(shown):
        console.print(f"and {len(what) - len(shown)} more; all of them with --all")


def _cut(command: str) -> str:
    return command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 3]}..."


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
