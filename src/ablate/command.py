"""`python train.py ...`: plan and check the command, let Hydra run it, show what came out.

Exit codes: 0 all done; 1 a run failed; 2 the command or its config is wrong, and nothing was created; 130 interrupted.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ablate.config.help import help_text
from ablate.config.resolvers import register_resolvers
from ablate.config.shorthand import expand
from ablate.errors import Problem, UserError

if TYPE_CHECKING:
    from ablate.config.compose import Composer
    from ablate.record import RunRecord

log = logging.getLogger(__name__)
register_resolvers()  # here, because a process that a launcher starts imports this file to find `train`


def main(conf: Path) -> NoReturn:
    """Run the command line and leave with its exit code."""
    sys.exit(run_command(conf, sys.argv[1:]))


def run_command(conf: Path, arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        options, problems = _parse(arguments)
        options.overrides, dry_run, more = expand(options.overrides)
        problems += more
        if options.help:
            print(help_text(conf), end="")
            return 0
        if options.cfg or options.info or options.shell_completion or options.hydra_help:
            if options.cfg:
                _check_words(conf, options, problems)
            _run_hydra(conf, arguments, train)
            return 0
        return _estimate(conf, options, problems) if dry_run else _run(conf, options, problems)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def train(config: DictConfig) -> "RunRecord":
    """One run, as Hydra calls it: in this process, or in one that a launcher has started."""
    from ablate.config.compose import checked
    from ablate.config.folders import variant_of
    from ablate.run import run

    hydra_config = HydraConfig.get()
    run_config = checked(config)
    variant = variant_of(run_config.factors, hydra_config.overrides.task)
    record = run(run_config, Path(hydra_config.runtime.output_dir), variant)
    if record.status == "interrupted":
        raise KeyboardInterrupt  # the runs after this one are not wanted either
    return record


def _run(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> int:
    """A run or a sweep, from its plan to its table."""
    from ablate.config.folders import claim, remove_run
    from ablate.config.plan import plan
    from ablate.sweep.manifest import write_manifest
    from ablate.sweep.table import exit_code, show_run, show_sweep

    planned = plan(_composer(conf, options), options.overrides, multirun=options.multirun, already=problems)
    refused: list[Problem] = []
    statuses: list[str] = []

    def task(config: DictConfig) -> "RunRecord | None":
        if planned.sweep:
            number = HydraConfig.get().job.num
            log.info("run %d of %d: %s", number + 1, len(planned.runs), list(planned.runs)[number])
        try:
            record = train(config)
            statuses.append(record.status)
            return record
        except UserError as error:  # found in the data, or by a part that was built
            refused.extend(error.problems)
            return None
        finally:
            if planned.sweep:
                _remake_report(folder)

    folder = planned.folder if planned.folder_typed else claim(planned.folder)
    talks = int(os.environ.get("LOCAL_RANK", "0")) == 0  # not in the further processes of a run
    if planned.sweep and talks:
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, options.overrides, {name: config.plain for name, config in planned.runs.items()})
    multirun = ["--multirun"] if options.multirun else []
    with _signals() as received:
        _run_hydra(conf, [*_valued_flags(options), *multirun, *planned.words_for(folder)], task)
    if planned.sweep and talks:
        show_sweep(folder, list(planned.runs), verdict=_remake_report(folder))
    elif talks and not refused:
        show_run(folder)
    if refused and not planned.sweep and not planned.folder_typed:
        remove_run(folder)
    UserError.raise_all(refused)
    if not talks:  # the record is the first process's, and may not be finished yet
        return int(any(status != "done" for status in statuses))
    folders = [folder / name for name in planned.runs] if planned.sweep else [folder]
    return 128 + received[0] if received else exit_code(folders)


def _estimate(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> int:
    """The planned runs and their cost, from a warm-up of each variant; nothing is trained or created."""
    from ablate.config.plan import plan
    from ablate.estimate import estimate
    from ablate.record import config_hash
    from ablate.sweep.dry_run import show_plan

    planned = plan(_composer(conf, options), options.overrides, multirun=options.multirun, already=problems)
    by_variant: dict[str, float] = {}
    seconds = {}
    for name, config in planned.runs.items():
        variant = config_hash({**config.plain, "seed": None})
        if variant not in by_variant:
            by_variant[variant] = estimate(config).seconds
        seconds[name] = by_variant[variant]
    show_plan(seconds if planned.sweep else {planned.folder.name: sum(seconds.values())})
    return 0


def _remake_report(folder: Path) -> str:
    """The verdict of a sweep so far, in words; the report's files in its folder. Trouble there does not end a sweep."""
    from ablate.report.command import report

    try:
        return str(report([folder]))
    except UserError as error:
        return str(error)
    except Exception:
        log.exception("the report could not be made; type: python -m ablate report %s", folder)
        return ""


@contextmanager
def _signals() -> Iterator[list[int]]:
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


def _composer(conf: Path, options: argparse.Namespace) -> "Composer":
    from ablate.config.compose import CONFIG_NAME, Composer

    extra = Path(options.config_dir) if options.config_dir else None
    return Composer(Path(options.config_path or conf), options.config_name or CONFIG_NAME, extra)


def _check_words(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> None:
    """Raise `UserError` for words of which Hydra could not even compose a config."""
    from ablate.config.overrides import compose_what_fits, parse_words

    composer = _composer(conf, options)
    overrides, unreadable = parse_words(composer, options.overrides)
    _, unfitting = compose_what_fits(composer, [str(each.input_line) for each in overrides])
    UserError.raise_all([*problems, *unreadable, *unfitting])


def _valued_flags(options: argparse.Namespace) -> list[str]:
    """Hydra's options about where the config lies, from wherever Hydra looks at them."""
    flags = {"config-path": options.config_path, "config-dir": options.config_dir}
    named = [f"--config-name={options.config_name}"] if options.config_name else []
    return named + [f"--{name}={Path(value).resolve()}" for name, value in flags.items() if value]


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[Problem]]:
    """Hydra's options, wherever they stand among the overrides, and those that it does not have."""
    options, unknown = get_args_parser().parse_known_intermixed_args(list(arguments))
    allowed = "KEY=VALUE without dashes, or an option of --hydra-help"
    return options, [Problem(f"{word}: no such option", allowed, word.lstrip("-")) for word in unknown]


def _run_hydra(conf: Path, arguments: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    from ablate.config.compose import CONFIG_NAME, VERSION_BASE

    decorate = hydra.main(version_base=VERSION_BASE, config_path=str(conf.resolve()), config_name=CONFIG_NAME)
    before = sys.argv
    sys.argv = [before[0], *arguments]  # Hydra reads them there, and so does Lightning to start further processes
    try:
        decorate(task)()
    finally:
        sys.argv = before
