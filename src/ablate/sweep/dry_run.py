"""What a command would train and what that would cost, on the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ablate.sweep.table import duration, terminal


def show_plan(seconds: Mapping[str, float], console: Console | None = None) -> None:
    """A row for each planned run with its estimated seconds, and the sum."""
    console = console or terminal()
    table = Table("run", Column("estimated time", justify="right"), box=None, pad_edge=False)
    for name, each in seconds.items():
        table.add_row(escape(name), duration(each))
    console.print(table)
    runs = f"{len(seconds)} run{'s' * (len(seconds) != 1)}"
    console.print(f"\n{runs}, about {duration(sum(seconds.values()))} one after another; nothing was trained")
