"""A run in this process, from its plan to its summary."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from ablate.config.folders import claim, missing_of, remove_run
from ablate.config.plan import Plan
from ablate.errors import Problem, UserError
from ablate.record import RunRecord
from ablate.sweep.table import exit_code, show_run
from ablate.training import EXIT_CODES, Train, run_hydra


def train_here(conf: Path, planned: Plan, flags: Sequence[str]) -> int:
    """Train what is planned, in a folder of its own; the exit code. Raises `UserError` if its data cannot be used."""
    above, there_before = missing_of(planned.folder.parent), planned.folder.exists()
    folder = planned.folder if planned.folder_typed else claim(planned.folder)
    try:
        return train_in(folder, conf, [*flags, *planned.words_for(folder)])
    except UserError:
        if not there_before:
            remove_run([folder, *above])
        raise


def train_in(folder: Path, conf: Path, words: Sequence[str], forced: Sequence[str] | None = None) -> int:
    """Train, or go on with, the run in this folder that the words describe; the exit code."""
    train, refused = Train(forced), list[Problem]()

    def task(config: DictConfig) -> RunRecord | None:
        try:
            return train(config)
        except UserError as error:  # found in the data, or by a part that was built
            refused.extend(error.problems)
            return None

    with signals() as received:
        run_hydra(conf, words, task)
    UserError.raise_all(refused)
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return (
            EXIT_CODES[train.record.status] if train.record else 1
        )  # the record is the first process's, and may not be finished yet
    show_run(folder)
    return 128 + received[0] if received else _exit_code(train.record, folder)


def _exit_code(record: RunRecord | None, folder: Path) -> int:
    """130 after Ctrl-C and 143 after SIGTERM, also where the run itself has heard the signal."""
    if record is not None and record.status == "interrupted" and record.error and record.error.endswith("SIGTERM"):
        return 128 + signal.SIGTERM
    return exit_code([folder])


@contextmanager
def signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM end what is inside, and only that; the list then holds the signal's number."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
