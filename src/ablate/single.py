"""A run in this process, from its plan to its summary."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ablate import environment
from ablate.config.folders import claim, missing_of, remove_run
from ablate.config.plan import Plan, in_folder
from ablate.config.schema import Config
from ablate.errors import Problem, UserError
from ablate.processes.holder import holder
from ablate.record import RunRecord
from ablate.sweep.table import exit_code, show_run
from ablate.training import EXIT_CODES, Train, collecting, run_hydra

if TYPE_CHECKING:
    from ablate.ranks.company import Company


def train_here(conf: Path, planned: Plan, flags: Sequence[str]) -> int:
    """Train what is planned, in a folder of its own; the exit code. Raises `UserError` if its data cannot be used."""
    (config,) = planned.runs.values()
    company = company_of(config)
    above, there_before = missing_of(planned.folder.parent), planned.folder.exists()
    first = environment.is_first_process()
    folder = planned.folder if planned.folder_typed or not first else claim(planned.folder)
    try:
        return train_in(folder, conf, [*flags, *planned.words_for(folder)], company=company)
    except UserError:
        if first and not there_before and holder(folder) is None:  # else it is another command's, which was faster
            remove_run([folder, *above])
        raise


def train_in(
    folder: Path,
    conf: Path,
    words: Sequence[str],
    forced: Sequence[str] | None = None,
    company: "Company | None" = None,
    *,
    log_only: bool = False,
) -> int:
    """Train, or go on with, the run in this folder that the words describe; the exit code. `log_only`: as in `Train`.

    In a process other than the first one of a run: take part in it, wherever that one has it.
    """
    if not environment.is_first_process():
        return _take_part(conf, words, company)
    train, refused, code = Train(forced, company, log_only), list[Problem](), 1
    try:
        with signals() as received:
            run_hydra(conf, words, collecting(train, refused))
        UserError.raise_all(refused)
        show_run(folder)
        code = 128 + received[0] if received else _exit_code(train.record, folder)
    except UserError:
        code = 2
        raise
    finally:
        if company is not None:
            company.close(code)
    return code


def _take_part(conf: Path, words: Sequence[str], company: "Company | None") -> int:
    """As another process than the first one, which shows and writes what there is to show and write, and hears the
    signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    train, refused = Train(None, company), list[Problem]()
    if company is not None:
        import ablate.run  # noqa: F401 (the seconds that it takes pass while the first process reads its data)

        place = company.folder()
        if place is None:
            return company.code()
        quiet = [f"hydra.job.name=train_ddp_process_{environment.rank()}", "hydra.output_subdir=null"]
        words = [*words, in_folder(place, sweep=False), *quiet]
    run_hydra(conf, words, collecting(train, refused))
    UserError.raise_all(refused)
    code = EXIT_CODES[train.record.status] if train.record else 1
    # What went wrong here is told by leaving: the others may be waiting for this process.
    return company.code() if company is not None and code == 0 else code


def company_of(config: Config) -> "Company | None":
    """The processes that a launcher has started for this run, once all have met; None if it has not."""
    if environment.num_processes() == 1:
        return None
    from ablate.ranks.company import meet

    return meet(config.plain)


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
