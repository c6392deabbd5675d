"""`python train.py ...`: plan and check the command, let Hydra run it, show what came out.

Exit codes: 0 all done; 1 a run failed; 2 the command or its config is wrong, and nothing was created; 130 or 143
interrupted by Ctrl-C or SIGTERM, with everything saved.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from ablate import environment
from ablate.config.help import help_text
from ablate.config.shorthand import ON_SLURM, expand
from ablate.errors import Problem, UserError
from ablate.processes.lifetime import leave, prepare


def main(conf: Path) -> NoReturn:
    """Run the command line and leave with its exit code."""
    leave(run_command(conf, sys.argv[1:]))


def run_command(conf: Path, arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code."""
    prepare()
    try:
        UserError.raise_all(_surroundings())
        options, problems = _parse(arguments)
        flags = [word for word in arguments if word not in options.overrides]
        options.overrides, dry_run, more = expand(options.overrides)
        problems += more
        if options.help:
            print(help_text(conf), end="")
            return 0
        if options.cfg or options.info or options.shell_completion or options.hydra_help:
            from ablate.training import Train, run_hydra

            if options.cfg and options.multirun:
                problems.append(Problem("--cfg with -m", "one run, whose config is shown", "--cfg job without -m"))
            if options.cfg:
                _check_words(conf, options, problems)
            run_hydra(conf, [*flags, *options.overrides], Train())
            return 0
        return _estimate(conf, options, problems) if dry_run else _run(conf, options, problems)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> int:
    """A run or a sweep, from its plan to its table."""
    from ablate.config.folders import place_problems
    from ablate.config.plan import plan
    from ablate.single import train_here

    if options.multirun and ON_SLURM not in options.overrides:
        from ablate.training import preload

        UserError.raise_all(_sweep_in_company())
        preload()  # while this process plans
    from ablate.config.flags import composer, valued_flags

    planned = plan(composer(conf, options), options.overrides, multirun=options.multirun, already=problems)
    UserError.raise_all(place_problems(planned.folder, "hydra.sweep.dir" if planned.sweep else "hydra.run.dir"))
    flags = valued_flags(options)
    if not planned.sweep:
        return train_here(conf, planned, flags)
    UserError.raise_all(_sweep_in_company())
    from ablate.commands.multirun import begin

    return begin(conf, planned, options.overrides, flags, multirun=options.multirun)


def _estimate(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> int:
    """The planned runs and their cost, from a warm-up of each variant; nothing is trained or created."""
    from ablate.config.flags import composer
    from ablate.config.plan import plan
    from ablate.estimate import estimate
    from ablate.record import config_hash
    from ablate.sweep.dry_run import show_plan

    planned = plan(composer(conf, options), options.overrides, multirun=options.multirun, already=problems)
    by_variant: dict[str, float] = {}
    seconds = {}
    for name, config in planned.runs.items():
        variant = config_hash({**config.plain, "seed": None})
        if variant not in by_variant:
            by_variant[variant] = estimate(config).seconds
        seconds[name] = by_variant[variant]
    show_plan(seconds if planned.sweep else {planned.folder.name: sum(seconds.values())})
    return 0


def _check_words(conf: Path, options: argparse.Namespace, problems: Sequence[Problem]) -> None:
    """Raise `UserError` for words of which Hydra could not even compose a config."""
    from ablate.config.flags import composer
    from ablate.config.overrides import compose_what_fits, parse_words

    of_conf = composer(conf, options)
    overrides, unreadable = parse_words(of_conf, options.overrides)
    _, unfitting = compose_what_fits(of_conf, [str(each.input_line) for each in overrides])
    UserError.raise_all([*problems, *unreadable, *unfitting])


def _surroundings() -> Iterator[Problem]:
    """What is wrong with where the command was typed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        yield Problem("the working folder does not exist any more", "a folder that exists", "cd FOLDER")
    ranks = [name for name in environment.COUNTS if not os.environ.get(name, "0").isdecimal()]
    for name in ranks:
        given = f"{name}={os.environ[name]}"
        yield Problem(given, "a whole number, which torchrun, srun or Lightning sets", f"unset {name}")
    if ranks or environment.launcher():
        return
    if "LOCAL_RANK" in os.environ and not {"WORLD_SIZE", "MASTER_PORT"} <= os.environ.keys():
        given = f"LOCAL_RANK={os.environ['LOCAL_RANK']} without WORLD_SIZE and MASTER_PORT"
        yield Problem(given, "all that torchrun sets, or nothing of it: others would be waited for", "unset LOCAL_RANK")


def _sweep_in_company() -> Iterator[Problem]:
    """A launcher that starts the command several times would start as many sweeps."""
    torchrun = environment.launcher() == "torchrun"
    started = environment.num_processes() if torchrun else int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if started > 1:
        given = f"a sweep in {started} processes of {'torchrun' if torchrun else 'srun'}"
        yield Problem(given, "one process, whose runs start others for themselves", "python train.py -m ...")


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[Problem]]:
    """Hydra's options, wherever they stand among the overrides, and those that it does not have."""
    parser, allowed = get_args_parser(), "KEY=VALUE without dashes, or an option of --hydra-help"
    parser.exit_on_error = False
    try:
        options, unknown = parser.parse_known_intermixed_args(list(arguments))
    except argparse.ArgumentError as error:
        raise UserError.of(str(error), allowed, "python train.py --hydra-help") from None
    problems = [Problem(f"{word}: no such option", allowed, word.lstrip("-")) for word in unknown]
    if options.experimental_rerun:  # Hydra would unpickle the file
        given = "--experimental-rerun would run whatever the file holds"
        problems.append(Problem(given, "a run's own command", "python -m ablate resume RUN"))
    return options, problems
