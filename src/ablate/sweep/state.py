"""How far a run has come, from the files in its folder alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ablate.errors import UserError
from ablate.processes.holder import holder
from ablate.record import FILE_NAME, RunRecord

Status = Literal["pending", "running", "done", "failed", "interrupted", "diverged"]
TO_DO: tuple[Status, ...] = ("pending", "interrupted")  # what a resume goes on with without being asked twice
BROKEN: tuple[Status, ...] = ("failed", "diverged")
GONE = "its process is gone"


@dataclass(frozen=True)
class State:
    """`reason`: why it failed or was interrupted. `progress`: of a running one (see `Lease.tell`).

    `settled`: the record itself says so, whoever is alive: only another record can change it.
    """

    status: Status = "pending"
    attempts: int = 0
    reason: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    settled: bool = False


def state_of(folder: Path) -> State:
    """True at this moment, whatever was killed: a record that says `running` counts only while its process lives."""
    if not (folder / FILE_NAME).is_file():
        alive = holder(folder) if folder.is_dir() else None
        return State("running", 1, None, alive.progress) if alive else State()
    try:
        record = RunRecord.read(folder)
    except UserError as error:
        return State("interrupted", 1, error.problems[0].given)
    if record.status == "running":
        alive = holder(folder)
        if alive is None:
            return State("interrupted", record.attempts, GONE)
        return State("running", record.attempts, None, alive.progress)
    return State(record.status, record.attempts, record.error, settled=True)
