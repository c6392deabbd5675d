"""The record of a run that could not finish it itself."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ablate.errors import UserError
from ablate.record import FILE_NAME, RunRecord, Status, one_line
from ablate.sweep.table import LOG

log = logging.getLogger(__name__)


def note_death(folder: Path, status: Status, reason: str, new: Callable[[], RunRecord] | None = None) -> None:
    """Write into the record, and into the log, how the run ended. `new`: makes a record where there is none to read."""
    record = read_record(folder) or (new() if new else None)
    if record is None:
        return
    record.status, record.error = status, reason
    record.finished = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record.write(folder)
        with (folder / LOG).open("a", encoding="utf-8") as file:
            print(f"{record.finished} {record.status}: {reason}", file=file)
    except OSError as error:
        log.error("%s: %s", folder, one_line(error))


def read_record(folder: Path) -> RunRecord | None:
    """None if there is none that can be read."""
    if not (folder / FILE_NAME).is_file():
        return None
    try:
        return RunRecord.read(folder)
    except UserError:
        return None
