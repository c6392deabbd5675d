"""`python train.py ...`: plan and check the command, let Hydra run it, show what came out.

Exit codes: 0 all done; 1 a run failed; 2 the command or its config is wrong, and nothing was created; 130 interrupted.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ablate.config.help import help_text
from ablate.config.resolvers import register_resolvers
from ablate.errors import Problem, UserError

if TYPE_CHECKING:
    from ablate.config.plan import Plan
    from ablate.record import RunRecord

VALUED = ("config_path", "config_name", "config_dir")  # Hydra's options with a value that also matter to a run
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
        if options.help:
            print(help_text(conf), end="")
            return 0
        if options.cfg or options.info or options.shell_completion or options.hydra_help:
            _run_hydra(conf, arguments, train)
            return 0
        return _run(conf, options, problems)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def train(config: DictConfig) -> "RunRecord":
    """One run, as Hydra calls it: in this process, or in one that a launcher has started."""
    from ablate.config.check import check
    from ablate.config.compose import resolve
    from ablate.config.folders import variant_of
    from ablate.run import run

    hydra_config = HydraConfig.get()
    checked = check(resolve(config).plain)
    variant = variant_of(checked.factors, hydra_config.overrides.task)
    record = run(checked, Path(hydra_config.runtime.output_dir), variant)
    if record.status == "interrupted":
        raise KeyboardInterrupt  # the runs after this one are not wanted either
    return record


def _run(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> int:
    """A run or a sweep, from its plan to its table."""
    from ablate.config.compose import CONFIG_NAME, Composer
    from ablate.config.folders import remove_run
    from ablate.config.plan import plan
    from ablate.sweep.table import exit_code, show_run, show_sweep

    composer = Composer(
        Path(options.config_path or conf), options.config_name or CONFIG_NAME, _path_or_none(options.config_dir)
    )
    planned = plan(composer, options.overrides, multirun=options.multirun, already=problems)
    refused: list[Problem] = []

    def task(config: DictConfig) -> "RunRecord | None":
        if planned.sweep:
            log.info("\n%s", _which(planned))
        try:
            return train(config)
        except UserError as error:  # found in the data, or by a part that was built
            refused.extend(error.problems)
            return None

    flags = [f"--{name.replace('_', '-')}={value}" for name in VALUED if (value := getattr(options, name))]
    flags += ["--multirun"] if options.multirun else []
    interrupted = False
    try:
        _run_hydra(conf, [*flags, *planned.words], task)
    except KeyboardInterrupt:
        interrupted = True
    if refused and not planned.sweep:
        remove_run(planned.folder)
    elif int(os.environ.get("LOCAL_RANK", "0")) == 0:  # the further processes of a run leave the talking to the first
        show_sweep(planned.folder, list(planned.runs)) if planned.sweep else show_run(planned.folder)
    UserError.raise_all(refused)
    folders = [planned.folder / name for name in planned.runs] if planned.sweep else [planned.folder]
    return 130 if interrupted else exit_code(folders)


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[Problem]]:
    """Hydra's options, wherever they stand among the overrides, and those that it does not have."""
    options, unknown = get_args_parser().parse_known_intermixed_args(list(arguments))
    allowed = "KEY=VALUE without dashes, or an option of --hydra-help"
    return options, [Problem(f"{word}: no such option", allowed, word.lstrip("-")) for word in unknown]


def _run_hydra(conf: Path, arguments: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    with _argv(arguments):
        hydra.main(version_base="1.3", config_path=str(conf.resolve()), config_name="config")(task)()


@contextmanager
def _argv(arguments: Sequence[str]) -> Iterator[None]:
    """Hydra reads its arguments from `sys.argv`, and Lightning starts the further processes of a run with them."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


def _which(planned: "Plan") -> str:
    job = HydraConfig.get().job
    return f"run {job.num + 1} of {len(planned.runs)}: {list(planned.runs)[job.num]}"


def _path_or_none(text: str | None) -> Path | None:
    return Path(text) if text else None
