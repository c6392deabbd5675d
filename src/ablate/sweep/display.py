"""What a sweep shows while it goes on: a bar for each running run, counts and the time left.

Where nobody looks at a terminal, in a log or a pipe, a plain line for every start and end.
"""

import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from ablate.processes.holder import FILE_NAME as LEASE
from ablate.record import RunRecord
from ablate.sweep.pool import Job
from ablate.sweep.state import State
from ablate.sweep.table import duration, outcome, progress_in_words


class Display:
    """num_runs: all of the sweep. num_done: those that were done before. num_slots: runs at once."""

    def __init__(self, num_runs: int, num_done: int, num_slots: int, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._num_runs, self._num_done, self._num_slots = num_runs, num_done, num_slots
        self._num_begun, self._num_broken = num_done, 0
        self._started = time.monotonic()
        self._begun: dict[str, float] = {}
        self._seconds: list[float] = []  # of the runs that have ended here
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._live: Live | None = None

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.transient = True  # the table that follows says it all
            self._live.stop()

    def started(self, job: Job) -> None:
        self._num_begun += 1
        self._begun[job.name] = time.monotonic()
        if self._live is None:
            self.say(f"run {min(self._num_begun, self._num_runs)} of {self._num_runs}: {job.name}")
        else:
            self._tasks[job.name] = self._bars.add_task(job.name, total=None, state="starting")

    def ended(self, job: Job, state: State, record: RunRecord | None, took: float | None = None) -> None:
        """took: seconds, if it has not run just as long as this display has known of it."""
        watched = time.monotonic() - self._begun.pop(job.name)
        took = watched if took is None else took
        if state.status == "done":
            self._num_done += 1
            self._seconds.append(took)
        elif state.status in ("failed", "diverged"):
            self._num_broken += 1
        if (task := self._tasks.pop(job.name, None)) is not None:
            self._bars.remove_task(task)
        said = outcome(record) if record is not None else state.status
        self.say(f"{job.name}: {said}  {duration(took)}")

    def tick(self, folders: dict[str, Path]) -> None:
        """folders: of the runs that go on, by name."""
        for name, task in self._tasks.items():
            progress = read_progress(folders[name])
            if progress:
                fraction = progress_in_words(progress)
                self._bars.update(task, total=1.0, completed=fraction.share, state=fraction.words)

    def _picture(self) -> Group:
        running = len(self._begun)
        parts = [f"{self._num_done} of {self._num_runs} done", f"{running} running"]
        if self._num_broken:
            parts.append(f"{self._num_broken} failed")
        if left := self._time_left():
            parts.append(f"about {duration(left)} left")
        return Group(self._bars, Text("  ".join(parts), style="bold"))

    def _time_left(self) -> float | None:
        """From the runs that have ended; None before the first one has."""
        if not self._seconds:
            return None
        mean = sum(self._seconds) / len(self._seconds)
        now = time.monotonic()
        running = sum(max(0.0, mean - (now - begun)) for begun in self._begun.values())
        waiting = self._num_runs - self._num_done - self._num_broken - len(self._begun)
        return (running + mean * max(0, waiting)) / self._num_slots

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def read_progress(folder: Path) -> dict[str, float]:
    """What the run told last; nothing if it has told nothing yet."""
    import json

    try:
        found = json.loads((folder / LEASE).read_text(encoding="utf-8"))
        progress = found["progress"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return progress if isinstance(progress, dict) else {}
