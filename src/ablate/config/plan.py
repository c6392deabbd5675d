"""What a command will do, found out and checked before it does anything: all its runs, and its folder."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ablate.config.check import find_problems
from ablate.config.compose import Composer, resolve
from ablate.config.effect import effect_problems, repetitions
from ablate.config.folders import bare_key, holds_a_run, run_folder, unused, variant_of
from ablate.config.overrides import compose_what_fits, parse_words, several_values
from ablate.config.parts import part_problems
from ablate.config.resolvers import hydra_node
from ablate.config.schema import Config
from ablate.config.targets import refusals_of_hydra
from ablate.errors import Problem, UserError

Composed = Callable[..., tuple[DictConfig, list[Problem]]]  # words -> their config, and what is wrong with them


@dataclass(frozen=True)
class Plan:
    """`runs`: name -> config. `folder`: of the run, or of the sweep; taken as it is if it was typed."""

    words: tuple[str, ...]
    sweep: bool
    runs: dict[str, Config]
    folder: Path
    folder_typed: bool

    def words_for(self, folder: Path) -> list[str]:
        """The overrides to give to Hydra, for this folder."""
        quoted = str(folder).replace("'", "\\'")
        return [*self.words, f"{_folder_key(self.sweep)}='{quoted}'"]


@dataclass(frozen=True)
class Candidate:
    """One run that is not known to be right. `plain` is as complete as its problems allow."""

    name: str  # of its folder in a sweep
    plain: dict[str, Any]
    problems: tuple[Problem, ...]


def plan(composer: Composer, words: Sequence[str], *, multirun: bool = False, already: Sequence[Problem] = ()) -> Plan:
    """Compose and check all runs of a command. Raises `UserError` with everything that is wrong with it.

    `already`: what has been found wrong with it before.
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
    else:
        problems += [several_values(each) for each in overrides if each.is_sweep_override()]
        overrides = [each for each in overrides if not each.is_sweep_override()]

    candidates = list(_candidates(composed, overrides, sweep))
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
    folder = Path(str(OmegaConf.select(settings, key)))
    if key in typed:
        _refuse_taken(folder, configs if sweep else (), key)
    if sweep:
        forced = _forced(composer, fixed) if unfitting else {}
        words = [*(forced.get(word, word) for word in words), f"factors=[{','.join(_factors(overrides))}]"]
    return Plan(tuple(words), sweep, configs, folder if key in typed else unused(folder), key in typed)


def compose(conf: Path, words: Sequence[str] = ()) -> Config:
    """The checked config of one run, for a notebook: `compose(Path("conf"), ["data=cifar10", "optimizer.lr=0.2"])`.

    Raises `UserError` with everything that is wrong with the words, and for words that make several runs.
    """
    planned = plan(Composer(conf), words)
    if planned.sweep:
        raise UserError.of(" ".join(words), "words for a single run", f"python train.py {' '.join(words)}")
    (config,) = planned.runs.values()
    return config


def _candidates(composed: Composed, overrides: Sequence[Override], sweep: bool) -> Iterator[Candidate]:
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
        found += effect_problems(plain, typed, sweep=sweep)
        found += refusals_of_hydra(hydra_node(config))
        yield Candidate(run_folder(factors, plain.get("seed"), words), plain, tuple(found))


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
        trainer = config.trainer
        parts = (config.augmentation, config.data.image_size, config.model, trainer.accelerator, trainer.devices)
        if parts not in seen:
            seen.append(parts)
            yield from part_problems(config, here=here)


def _forced(composer: Composer, overrides: Iterable[Override]) -> dict[str, str]:
    """Word -> the same with `++`. Hydra composes a sweep once without what is swept: in `optimizer=a,b optimizer.x=1`,
    a key that only a and b have would then be refused. That all runs have it is known here."""
    plain = (each for each in overrides if each.type == OverrideType.CHANGE and not each.is_hydra_override())
    return {_word(each): f"++{_word(each)}" for each in plain if not composer.options(each.key_or_group)}


def _folder_key(sweep: bool) -> str:
    return "hydra.sweep.dir" if sweep else "hydra.run.dir"


def _refuse_taken(folder: Path, names: Collection[str], key: str) -> None:
    """Raise `UserError` if there is a run where this one, or one of a sweep, is to go."""
    if "LOCAL_RANK" in os.environ:
        return  # a further process of the run that is there
    for path in [folder / name for name in names] or [folder]:
        if holds_a_run(path):
            raise UserError.of(f"{key}={folder}: {path} holds a run", "a new folder", f"{key}={unused(folder)}")


def _factors(overrides: Iterable[Override]) -> list[str]:
    """The keys that a sweep varies, without the seed."""
    last = {bare_key(each): each for each in overrides}
    return [key for key, override in last.items() if override.is_sweep_override() and key != "seed"]


def _sweep_params(settings: DictConfig) -> list[tuple[str, Any]]:
    params = OmegaConf.select(settings, "hydra.sweeper.params")
    return list(params.items()) if params is not None else []


def _in_order(overrides: Iterable[Override]) -> list[str]:
    """Hydra's own words first, as in every run."""
    return [_word(each) for each in sorted(overrides, key=lambda each: not each.is_hydra_override())]


def _word(override: Override) -> str:
    return str(override.input_line)
