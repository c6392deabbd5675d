"""One run through Hydra: in this process, or in one of its own."""

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ablate.config.compose import CONFIG_NAME, VERSION_BASE, checked
from ablate.config.folders import variant_of
from ablate.config.others import without_schemas
from ablate.config.resolvers import register_resolvers
from ablate.errors import Problem, UserError
from ablate.record import RunRecord, one_line
from ablate.sweep.pool import Job
from ablate.sweep.slots import Slot
from ablate.sweep.table import LOG

if TYPE_CHECKING:
    from ablate.ranks.company import Company

EXIT_CODES = {"done": 0, "failed": 1, "diverged": 1, "interrupted": 130}
# What every run imports: 5 s that only the first one pays.
PRELOAD = ["ablate.sweep.apart", "ablate.training", "ablate.run"]

register_resolvers()  # here, because a process that a launcher starts imports this file to find `Train`


@dataclass
class Train:
    """Hydra's task function. `forced`: differences to pass over in a run that goes on; None: there may be none.

    `log_only`: standard output is the log, and the log has a handler of its own.
    """

    forced: Sequence[str] | None = None
    company: "Company | None" = None  # of the processes that share the run, where a launcher has started them
    log_only: bool = False
    record: RunRecord | None = None  # of the last run

    def __call__(self, config: DictConfig) -> RunRecord:
        from ablate.run import run

        for handler in list(logging.root.handlers) if self.log_only else ():
            if type(handler) is logging.StreamHandler:
                logging.root.removeHandler(handler)
        hydra_config = HydraConfig.get()
        run_config = checked(config)
        variant = variant_of(run_config.factors, hydra_config.overrides.task)
        folder = Path(hydra_config.runtime.output_dir)
        self.record = run(run_config, folder, variant, command=sys.argv, forced=self.forced, company=self.company)
        return self.record


def collecting(train: Train, refused: list[Problem]) -> Callable[[DictConfig], RunRecord | None]:
    """The task, with what it finds in the data, or in a part that it builds, put into the list: Hydra would show a
    traceback of it, and leave."""

    def task(config: DictConfig) -> RunRecord | None:
        try:
            return train(config)
        except UserError as error:
            refused.extend(error.problems)
            return None

    return task


def run_hydra(conf: Path, words: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    """Let Hydra compose the config of `conf/` and these words, make the folder and its log, and call the task."""
    without_schemas()
    decorate = hydra.main(version_base=VERSION_BASE, config_path=str(conf.resolve()), config_name=CONFIG_NAME)
    before = sys.argv
    sys.argv = [before[0], *words]  # Hydra reads them there, and so does Lightning to start further processes
    try:
        decorate(task)()
    finally:
        sys.argv = before


def program(conf: Path) -> str:
    """The script that was called, or the one beside `conf`: what further processes of a run are started with."""
    called = Path(sys.argv[0]).absolute()
    return str(called if called.suffix == ".py" and called.is_file() else conf.resolve().parent / "train.py")


def pretend(called: str) -> None:
    """Make this process look like `python called ...`: so Lightning starts the further processes of a run."""
    main = types.ModuleType("__main__")
    main.__file__ = called
    sys.modules["__main__"], sys.argv[0] = main, called


def preload() -> None:
    """Begin, in the background, to import what every run needs, once for all runs of a sweep."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is not the fork server's to hear
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Setting:
    """What all runs of a sweep share. `forced`: as in `Train`.

    `program`: the path of train.py, from which Lightning starts the further processes of a run on several devices.
    """

    conf: Path
    program: str
    forced: Sequence[str] | None = None


@dataclass
class OwnProcesses:
    """Starts runs in processes of their own, forked from one that has imported everything and done nothing."""

    setting: Setting
    _words: dict[str, Connection] = field(default_factory=dict)  # what the runs have to say, by the name of the job

    def __call__(self, job: Job, slot: Slot) -> BaseProcess:
        preload()
        context = multiprocessing.get_context("forkserver")
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_train_alone, args=(self.setting, job, slot, writer), name=job.name)
        process.start()
        writer.close()
        self._words[job.name] = reader
        return process

    def last_words(self, job: Job) -> tuple[list[Problem], str | None]:
        """Of a run that has ended: what it found wrong with its data or its parts, the user's to mend; and what kept
        it from even starting, ours to mend."""
        return last_words(self._words.pop(job.name))


def last_words(reader: Connection) -> tuple[list[Problem], str | None]:
    """What `ends_with` has sent, from the other end."""
    with reader, suppress(EOFError):
        problems, error = reader.recv()
        return list(problems), error
    return [], None


def _train_alone(how: Setting, job: Job, slot: Slot, words: Connection) -> NoReturn:
    """The whole life of a run's process."""
    os.setsid()  # Ctrl-C is the sweep's to hear, and what this process starts can be ended with it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = str(slot.threads)  # for further processes; here torch is loaded already
    if slot.devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.devices)
    write_to(Path(job.folder))
    follow_the_parent()
    pretend(how.program)

    import torch

    torch.set_num_threads(slot.threads)
    train, refused = Train(how.forced, log_only=True), list[Problem]()

    def work() -> int:
        run_hydra(how.conf, job.words, collecting(train, refused))
        UserError.raise_all(refused)
        return EXIT_CODES.get(train.record.status, 1) if train.record else 1

    ends_with(words, work)


def ends_with(words: Connection, work: Callable[[], int]) -> NoReturn:
    """The end of a run's process: with the exit code that `work` comes to, and what there is to say about it."""
    try:
        code = work()
    except UserError as error:  # found in the data, or by a part that was built
        print(error, file=sys.stderr)
        words.send((error.problems, None))
        code = 2
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        traceback.print_exc()
        words.send(((), one_line(error)))
        code = 1
    sys.exit(code)


def write_to(folder: Path) -> None:
    """Standard output and error, of this process and of all that it starts, into the log of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    log = open(folder / LOG, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (it stays open)
    for number in (1, 2):
        os.dup2(log.fileno(), number)
    faulthandler.enable(log)


def follow_the_parent() -> None:
    """End this run, as by SIGTERM, when the process that has started it is gone: nobody would hear of it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="follow", daemon=True).start()
