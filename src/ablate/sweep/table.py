"""What a command has done, on the terminal: the table of a sweep, the summary of a run. Reads records only."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ablate.config.wording import show
from ablate.record import FILE_NAME, RunRecord

LOG = "train.log"  # in the run directory, as conf/config.yaml names it
MAX_ROWS = 100  # of a sweep; results.csv has them all
MIN_WIDTH = 140  # where nobody looks at a terminal of some width: a log, a pipe


def show_sweep(folder: Path, names: Sequence[str], console: Console | None = None, *, verdict: str = "") -> None:
    """A row for each planned run, in this order, the verdict, and how to open the dashboards.

    Of more than `MAX_ROWS` runs, only those that are not done.
    """
    console = console or terminal()
    records = {name: _read(folder / name) for name in names}
    metric = next((_metric(record) for record in records.values() if record), "test/accuracy")
    table = Table("variant", "seed", *_right(metric.replace("/", " "), "time"), "folder", box=None, pad_edge=False)
    done = {name for name, record in records.items() if record and record.status == "done"}
    many = len(records) > MAX_ROWS
    shown = [(name, record) for name, record in records.items() if not many or name not in done]
    for name, record in shown[:MAX_ROWS]:
        if record is None:
            table.add_row("", "", "[yellow]not run[/]", "", escape(name))
        else:
            took = duration(record.seconds.get("total", 0))
            table.add_row(_variant(record), str(record.seed), outcome(record, metric), took, escape(name))
    if shown:
        console.print(table)
    if many:
        more = f"; {len(shown) - MAX_ROWS} more of the others" if len(shown) > MAX_ROWS else ""
        console.print(f"{len(done)} of {len(records)} runs are done{more}: see results.csv", soft_wrap=True)
    if verdict:
        console.print(f"\n{verdict}", soft_wrap=True, highlight=False, markup=False)
    _show_way_in(folder, console)
    _show_way_on(folder, {record.status if record else "pending" for record in records.values()}, console)


def show_run(folder: Path, console: Console | None = None) -> None:
    """What came out, where it lies, and how to open the dashboards."""
    console = console or terminal()
    record = _read(folder)
    if record is not None:
        metric = _metric(record)
        label = f"{metric.replace('/', ' ')} " if record.status == "done" else ""
        epochs = f"{record.epochs} epoch{'s' if record.epochs != 1 else ''}"
        console.print(
            f"{label}{outcome(record, metric)}, {epochs}, {duration(record.seconds.get('total', 0))}", soft_wrap=True
        )
    _show_way_in(folder, console)
    _show_way_on(folder, {record.status} if record else set(), console)


def show_way_back(folder: Path, scancel: str, console: Console | None = None) -> None:
    """What to type after Ctrl-C, which does not reach the runs on a cluster."""
    console = console or terminal()
    console.print("\nthe jobs on the cluster go on", highlight=False)
    again = f"{_python()} -m ablate resume {shlex.quote(os.path.relpath(folder))}"
    console.print(f"wait again: {again}\nend them:   {scancel}", soft_wrap=True, highlight=False, markup=False)


def exit_code(folders: Sequence[Path]) -> int:
    """0: all done; 1: one failed, or died before its record said how it ended; 130: one was interrupted."""
    statuses = {record.status if record else None for record in map(_read, folders)}
    if statuses <= {"done"}:
        return 0
    return 130 if "interrupted" in statuses and statuses <= {"done", "interrupted", None} else 1


def outcome(record: RunRecord, metric: str | None = None) -> str:
    """What came of a run, with rich's markup."""
    metric = metric or _metric(record)
    if record.status in ("failed", "diverged", "running"):
        word = "failed" if record.status == "running" else record.status
        return f"[red]{word}[/]: {escape(record.error or 'it died without a word')} (see {LOG})"
    if record.status == "interrupted":
        return "[yellow]interrupted[/]"
    value = record.metrics.get(metric)
    if value is None:
        return "[yellow]not measured[/]"
    return f"{100 * value:.2f} %" if metric.endswith("/accuracy") else f"{value:.4f}"


class Share(NamedTuple):
    """How far a run has come: a part of 1, and the same in words."""

    share: float
    words: str


def progress_in_words(progress: Mapping[str, float]) -> Share:
    """progress: what a run tells with its lease."""
    epoch, epochs = progress.get("epoch", 1), progress.get("epochs", 1)
    within = progress.get("batch", 0) / max(1, progress.get("batches", 1))
    share = min(1.0, max(0.0, (epoch - 1 + within) / max(1, epochs)))
    accuracy = progress.get("val_accuracy")
    said = f"  val accuracy {100 * accuracy:.2f} %" if accuracy is not None else ""
    return Share(share, f"epoch {int(epoch)}/{int(epochs)}{said}")


def _variant(record: RunRecord) -> str:
    last = [key.rpartition(".")[2] for key in record.variant]
    names = [short if last.count(short) == 1 else key for key, short in zip(record.variant, last, strict=True)]
    return escape(
        ", ".join(f"{name}={show(value)}" for name, value in zip(names, record.variant.values(), strict=True))
    )


def duration(seconds: float) -> str:
    """3 s, 4 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours = int(seconds // 60) % 60, int(seconds // 3600)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02.0f} s"


def _metric(record: RunRecord) -> str:
    report = record.config.get("report")
    return str(report["metric"]) if isinstance(report, dict) and "metric" in report else "test/accuracy"


def _show_way_in(folder: Path, console: Console) -> None:
    here = Path(os.path.relpath(folder))
    shown = folder if here.parts[:1] == ("..",) else here
    console.print(f"\nfolder:     {shown}", soft_wrap=True, highlight=False, markup=False)
    if any(folder.rglob("events.out.tfevents.*")):
        command = f"{_python()} -m ablate board {shlex.quote(str(shown))}"
        console.print(f"dashboards: {command}", soft_wrap=True, highlight=False, markup=False)


def _show_way_on(folder: Path, statuses: set[str], console: Console) -> None:
    """What to type for what is not done."""
    command = f"{_python()} -m ablate resume {shlex.quote(os.path.relpath(folder))}"
    if statuses & {"pending", "interrupted", "running"}:
        console.print(f"go on:      {command}", soft_wrap=True, highlight=False, markup=False)
    if statuses & {"failed", "diverged"}:
        console.print(f"try again:  {command} --retry-failed", soft_wrap=True, highlight=False, markup=False)


def _python() -> str:
    """What to type for this interpreter: it may not be the first on the path."""
    found = shutil.which("python")
    if found and Path(found).absolute() == Path(sys.executable).absolute():
        return "python"
    here = os.path.relpath(sys.executable)
    return shlex.quote(sys.executable if here.startswith("..") else here)


def _read(folder: Path) -> RunRecord | None:
    return RunRecord.read(folder) if (folder / FILE_NAME).is_file() else None


def _right(*headers: str) -> list[Column]:
    return [Column(header, justify="right") for header in headers]


def terminal() -> Console:
    """Standard output, wide enough for a table where nobody looks at a terminal of some width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, MIN_WIDTH)
    return console
