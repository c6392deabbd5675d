"""What a command will do, found out and checked before it does anything: all its runs, and its folder."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ablate import environment
from ablate.config.check import find_problems
from ablate.config.compose import Composer, resolve
from ablate.config.effect import effect_problems, repetitions
from ablate.config.folders import bare_key, holds_a_run, holds_a_sweep, run_folder, unused, variant_of
from ablate.config.hydra_node import hydra_problems
from ablate.config.overrides import compose_what_fits, of_a_sweep, parse_words, several_values, too_many_runs
from ablate.config.parts import part_problems
from ablate.config.resolvers import hydra_node
from ablate.config.schema import Config
from ablate.config.shorthand import ON_SLURM
from ablate.config.trust import untrusted_packages
from ablate.errors import Problem, UserError

Composed = Callable[..., tuple[DictConfig, list[Problem]]]  # words -> their config, and what is wrong with them
OF_A_SWEEP = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.sweep", "hydra.mode")


@dataclass(frozen=True)
class Plan:
    """`runs`: name -> config. `folder`: of the run, or of the sweep; taken as it is if it was typed.

    `words`: for Hydra, all runs at once. `words_of`: name -> for this run alone, in a single run.
    `launcher`: the node of the launcher of a sweep, with its name under `hydra/launcher`.
    """

    words: tuple[str, ...]
    sweep: bool
    runs: dict[str, Config]
    folder: Path
    folder_typed: bool
    words_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    factors: tuple[str, ...] = ()
    launcher: dict[str, Any] = field(default_factory=dict)

    def words_for(self, folder: Path) -> list[str]:
        """The overrides to give to Hydra, for this folder."""
        return [*self.words, in_folder(folder, sweep=self.sweep)]

    def renamed(self, names: Mapping[str, str]) -> "Plan":
        """With other names for its runs. names: old -> new."""
        runs = {names[name]: config for name, config in self.runs.items()}
        return replace(self, runs=runs, words_of={names[name]: words for name, words in self.words_of.items()})

    def words_alone(self, name: str, folder: Path) -> tuple[str, ...]:
        """What makes one run of the sweep by itself, in this folder."""
        return (*self.words_of[name], "hydra.mode=RUN", in_folder(folder, sweep=False))


@dataclass(frozen=True)
class Candidate:
    """One run that is not known to be right. `plain` is as complete as its problems allow."""

    name: str  # of its folder in a sweep
    plain: dict[str, Any]
    problems: tuple[Problem, ...]
    words: tuple[str, ...]


def plan(
    composer: Composer,
    words: Sequence[str],
    *,
    multirun: bool = False,
    already: Sequence[Problem] = (),
    into: Path | None = None,
    trusted: Collection[str] | None = None,
) -> Plan:
    """Compose and check all runs of a command. Raises `UserError` with everything that is wrong with it.

    `already`: what has been found wrong with it before. `into`: the folder of runs that are to go on.
    `trusted`: the keys that the user has typed, where other words come from a file; None: all of them.
    """
    overrides, problems = parse_words(composer, words)
    problems = [*already, *problems]
    composed = cache(lambda *words: compose_what_fits(composer, words))
    fixed = [each for each in overrides if not each.is_sweep_override()]
    settings, unfitting = composed(*_in_order(fixed))
    sweep = multirun or settings.hydra.mode == RunMode.MULTIRUN
    if sweep:
        params, more = parse_words(composer, (f"{key}={value}" for key, value in _sweep_params(settings)))
        overrides, problems = [*params, *overrides], [*problems, *more]
        if too_many := list(too_many_runs(overrides)):
            raise UserError(*problems, *too_many)
    else:
        problems += [several_values(each) for each in overrides if each.is_sweep_override()]
        problems += [of_a_sweep(each) for each in overrides if bare_key(each).startswith("hydra.launcher.")]
        problems += [of_a_sweep(each) for each in overrides if _word(each) == ON_SLURM]
        overrides = [each for each in overrides if not each.is_sweep_override()]

    trusted = {bare_key(each) for each in overrides} if trusted is None else trusted
    candidates = list(_candidates(composed, overrides, sweep, trusted))
    if not candidates:
        problems.append(Problem(" ".join(words), "a sweep of at least one run", "python train.py -m seed=0,1,2"))
    problems += _merge(candidates)
    if sweep and not problems:
        problems += repetitions((each.name, each.plain) for each in candidates)
    configs = {each.name: Config.of(each.plain) for each in candidates if not each.problems}
    typed = {bare_key(each) for each in overrides}
    if not problems or any(key.startswith("augmentation") for key in typed):
        problems += _part_problems(configs.values(), settings)
    UserError.raise_all(problems)

    key = _folder_key(sweep)
    folder = into or Path(str(OmegaConf.select(settings, key)))
    if key in typed and into is None:
        _refuse_taken(folder, configs if sweep else (), key)
    factors = tuple(_factors(overrides)) if sweep else ()
    if sweep:
        forced = _forced(composer, fixed) if unfitting else {}
        words = [*(forced.get(word, word) for word in words), f"factors=[{','.join(factors)}]"]
    return Plan(
        tuple(words),
        sweep,
        configs,
        folder if into or key in typed else unused(folder),
        into is not None or key in typed,
        {each.name: each.words for each in candidates},
        factors,
        _launcher(settings),
    )


def compose(conf: Path, words: Sequence[str] = ()) -> Config:
    """The checked config of one run, for a notebook: `compose(Path("conf"), ["data=cifar10", "optimizer.lr=0.2"])`.

    Raises `UserError` with everything that is wrong with the words, and for words that make several runs.
    """
    planned = plan(Composer(conf), words)
    if planned.sweep:
        raise UserError.of(" ".join(words), "words for a single run", f"python train.py {' '.join(words)}")
    (config,) = planned.runs.values()
    return config


def _candidates(
    composed: Composed, overrides: Sequence[Override], sweep: bool, trusted: Collection[str]
) -> Iterator[Candidate]:
    """Every run of a command, as Hydra's sweeper enumerates them. Runs that differ in the seed are composed once."""
    hydra_words = [_word(each) for each in overrides if each.is_hydra_override()]
    own = [each for each in overrides if not each.is_hydra_override() and not each.is_interval_sweep()]
    factors, typed = _factors(own), {bare_key(each) for each in own}
    for words in BasicSweeper.split_arguments(own, None)[0] if sweep else [[_word(each) for each in own]]:
        config, problems = composed(*hydra_words, *(word for word in words if not (sweep and word.startswith("seed="))))
        if sweep:
            OmegaConf.update(config, "factors", factors)
            for seed in variant_of(["seed"], words).values():
                OmegaConf.update(config, "seed", seed)
        resolved = resolve(config)
        plain = resolved.plain
        found = [*problems, *resolved.problems, *find_problems(plain, resolved.links, typed)]
        found += effect_problems(plain, typed)
        found += [*hydra_problems(hydra_node(config), trusted), *untrusted_packages(plain, trusted)]
        alone = [word for word in hydra_words if not word.lstrip("+~").startswith(OF_A_SWEEP)]
        marked = [f"factors=[{','.join(factors)}]"] if sweep else []
        name = run_folder(factors, plain.get("seed"), words)
        yield Candidate(name, plain, tuple(found), (*alone, *words, *marked))


def _merge(candidates: Sequence[Candidate]) -> Iterator[Problem]:
    """The problems of all runs, each once; one that only some runs have says which."""
    where: dict[Problem, list[str]] = {}
    for candidate in candidates:
        for problem in dict.fromkeys(candidate.problems):
            where.setdefault(problem, []).append(candidate.name)
    for problem, names in where.items():
        if len(names) == len(candidates):
            yield problem
        else:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield Problem(f"{problem.given} (in {names[0]}{more})", problem.allowed, problem.fix)


def _part_problems(configs: Iterable[Config], settings: DictConfig) -> Iterator[Problem]:
    """Built once for all runs that agree on what is built."""
    here = not str(settings.hydra.runtime.choices.get("hydra/launcher")).startswith("submitit")
    seen: list[Any] = []
    for config in configs:
        parts = (config.augmentation, config.data.image_size, config.model, config.trainer)
        if parts not in seen:
            seen.append(parts)
            yield from part_problems(config, here=here)


def _forced(composer: Composer, overrides: Iterable[Override]) -> dict[str, str]:
    """Word -> the same with `++`. Hydra composes a sweep once without what is swept: in `optimizer=a,b optimizer.x=1`,
    a key that only a and b have would then be refused. That all runs have it is known here."""
    plain = (each for each in overrides if each.type == OverrideType.CHANGE and not each.is_hydra_override())
    return {_word(each): f"++{_word(each)}" for each in plain if not composer.options(each.key_or_group)}


def in_folder(folder: Path, *, sweep: bool) -> str:
    """The word that makes Hydra put a run, or a sweep, there."""
    quoted = str(folder).replace("'", "\\'")
    return f"{_folder_key(sweep)}='{quoted}'"


def _launcher(settings: DictConfig) -> dict[str, Any]:
    node = OmegaConf.to_container(settings.hydra.launcher, resolve=True)
    assert isinstance(node, dict)
    return {**{str(key): node[key] for key in node}, "hydra/launcher": settings.hydra.runtime.choices["hydra/launcher"]}


def _folder_key(sweep: bool) -> str:
    return "hydra.sweep.dir" if sweep else "hydra.run.dir"


def _refuse_taken(folder: Path, names: Collection[str], key: str) -> None:
    """Raise `UserError` if there is a run where this one, or one of a sweep, is to go."""
    if not environment.is_first_process() or environment.is_restarted():
        return  # a further process of the run that is there, or its next attempt
    if holds_a_sweep(folder):
        fix = f"{key}={unused(folder)}, or to add runs to it: python -m ablate resume '{folder}' 'seed=range(0,10)'"
        raise UserError.of(f"{key}={folder} holds a sweep", "a new folder", fix)
    for path in [folder / name for name in names] or [folder]:
        if holds_a_run(path):
            raise UserError.of(f"{key}={folder}: {path} holds a run", "a new folder", f"{key}={unused(folder)}")


def _factors(overrides: Iterable[Override]) -> list[str]:
    """The keys that a sweep varies, without the seed."""
    last = {bare_key(each): each for each in overrides}
    return [key for key, override in last.items() if override.is_sweep_override() and key != "seed"]


def _sweep_params(settings: DictConfig) -> list[tuple[str, Any]]:
    return list((OmegaConf.select(settings, "hydra.sweeper.params") or {}).items())


def _in_order(overrides: Iterable[Override]) -> list[str]:
    """Hydra's own words first, as in every run."""
    return [_word(each) for each in sorted(overrides, key=lambda each: not each.is_hydra_override())]


def _word(override: Override) -> str:
    return str(override.input_line)
