"""The words of a command: which of them Hydra can use, and what is wrong with the others.

Hydra stops at the first word that it cannot use. Here the words are tried one by one, group choices first, and those
that fit are kept, so that everything wrong with a command is said at once.
"""

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.config.compose import Composer
from ablate.config.folders import bare_key
from ablate.config.resolvers import without_hydra
from ablate.config.schema import OWNED
from ablate.config.wording import nearest, nearest_key, show
from ablate.errors import Problem, UserError

# What Hydra raises for a wrong word, or for a wrong file that a word chooses.
UNUSABLE = (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, AssertionError, RecursionError)
MAX_RUNS = 10_000  # of a sweep: more is a slip, and listing them alone would take minutes


def parse_words(composer: Composer, words: Iterable[str]) -> tuple[list[Override], list[Problem]]:
    """The words that can be read and that choose options that exist, and what is wrong with the others."""
    parsed, problems = [], []
    for word in words:
        try:
            override = composer.parse(word)
            assert override.key_or_group
        except UNUSABLE:
            problems.append(_unreadable(composer, word))
            continue
        wrong = list(_wrong_choices(composer, override))
        problems += wrong
        if not wrong:
            parsed.append(override)
    return parsed, problems


def compose_what_fits(composer: Composer, words: Sequence[str]) -> tuple[DictConfig, list[Problem]]:
    """The config of one run from the words that fit, and what is wrong with the others. No word may sweep."""
    try:
        return composer.compose(words), []
    except UNUSABLE:
        pass
    overrides = [composer.parse(word) for word in words]
    try:
        config = composer.compose([])
    except UNUSABLE as error:
        given = f"the config without any argument: {_reason(error)}"
        raise UserError.of(given, "files that compose", "git diff conf") from error
    kept: list[str] = []
    problems: list[Problem] = []
    for override in sorted(overrides, key=lambda each: not composer.options(each.key_or_group)):
        try:
            config = composer.compose([*kept, str(override.input_line)])
        except UNUSABLE as error:
            problems.append(_unfitting(composer, override, config, error))
        else:
            kept.append(str(override.input_line))
    return config, problems


def too_many_runs(overrides: Iterable[Override]) -> Iterator[Problem]:
    """A sweep that nobody means. What is swept is counted, not listed."""
    swept = [each for each in overrides if each.is_discrete_sweep()]
    count = math.prod(_count(each) for each in swept)
    if count > MAX_RUNS:
        given = f"{' '.join(_typed(each) for each in swept)}: {count:,} runs"
        yield Problem(given, f"a sweep of up to {MAX_RUNS:,} runs", "seed=range(0,10)")


def several_values(override: Override) -> Problem:
    """A sweep where one run was asked for."""
    word = _typed(override)
    allowed = "one value in a single run; with -m, a run for each"
    fix = f"python train.py -m {shlex.quote(word)}"
    if override.value_type == ValueType.SIMPLE_CHOICE_SWEEP:
        fix += f", or {_key(override)}=[{word.partition('=')[2]}] for a list"
    return Problem(word, allowed, fix)


def of_a_sweep(override: Override) -> Problem:
    """A key of the launcher, or one that only takes sweeps, in a single run."""
    key = bare_key(override).removeprefix("hydra.launcher.")
    given = f"{key}={show(override.value())} has no effect on a single run"
    return Problem(given, "-m, for a sweep", f"python train.py -m {key}={show(override.value())} seeds=5")


def _unreadable(composer: Composer, word: str) -> Problem:
    key, equals, value = word.partition("=")
    if not equals:
        key = key if re.fullmatch(r"~?[\w./@]+", key) else "KEY"
        meant = f"~{nearest_key(key[1:], keys_of(composer.compose([]))) or 'KEY'}" if key[:1] == "~" else f"{key}=VALUE"
        return Problem(f"{word!r} is no key=value", "key=value, +key=value or ~key", meant)
    quoted = "'" + value.replace("'", "\\'") + "'"
    if not key.strip("+~"):
        return Problem(f"{word!r} names no key", "key=value", f"KEY{equals}{value}")
    allowed = "letters, digits and / . _ - : in a plain value; quotes around anything else"
    return Problem(f"{word!r} cannot be read", allowed, f'"{key}={quoted}"')


def _wrong_choices(composer: Composer, override: Override) -> Iterator[Problem]:
    """Options that a group does not have; a kind of sweep that cannot be enumerated; a group removed."""
    options, word = composer.options(override.key_or_group), _typed(override)
    if override.value_type == ValueType.INTERVAL_SWEEP:
        yield Problem(word, "values to try one by one", f"{_key(override)}=0.1,0.2")
    elif _stands_still(override.value()):
        yield Problem(word, "a range with a step above 0", f"{_key(override)}=range(0,10)")
    if not options or (override.key_or_group == "experiment" and override.is_delete()):
        return
    listed = ", ".join(options)
    if override.is_delete():
        none = f"{override.key_or_group}=none" if "none" in options else f"leave {word} out"
        yield Problem(f"{word}: every run has one", f"{override.key_or_group}: {listed}", none)
        return
    for value in override.sweep_iterator() if override.is_discrete_sweep() else [override.value()]:
        if value not in options:
            meant = nearest(str(value), options) or options[0]
            fix = f"{_key(override)}={meant}"
            yield Problem(f"{_key(override)}={show(value)}: no such option", listed, fix)


def _unfitting(composer: Composer, override: Override, config: DictConfig, error: Exception) -> Problem:
    """Why Hydra refuses a word that can be read, on top of a config that it accepts."""
    word, key = _typed(override), override.key_or_group
    known = keys_of(config)
    if override.is_delete():
        meant = nearest_key(key, known)
        return Problem(f"{word}: no such key", _keys_around(key, config), f"~{meant}" if meant else f"leave {word} out")
    if key in OWNED:
        return Problem(word, f"not a key of a config: {OWNED[key]}", f"leave {key} out")
    if override.is_add() and key in known:
        return Problem(f"{word}: the key exists", "+ for a new key, no + for one that exists", word.lstrip("+"))
    if composer.options(key) and override.package is None:
        return Problem(f"{word}: {_reason(error)}", "a file that composes", f"correct {key}/{override.value()}.yaml")
    if key in known or override.package is not None or override.is_hydra_override():
        return Problem(f"{word}: {_reason(error)}", "python train.py --hydra-help", f"leave {word} out")
    group = key.partition(".")[0]
    if option := _option_with(composer, group, key):
        chosen = config.hydra.runtime.choices.get(group)
        given = f"{word}: no such key in {group}={chosen}"
        return Problem(given, f"{key} with {group}={option}", f"{group}={option} {word}")
    meant = nearest_key(key, [*known, *composer.groups()])
    fix = f"{meant}={word.partition('=')[2]}" if meant else f"leave {word} out"
    return Problem(f"{word}: no such key", _keys_around(key, config), fix)


def _count(override: Override) -> int:
    """The values of a swept word."""
    value = override.value()
    if isinstance(value, RangeSweep):
        assert value.start is not None
        assert value.stop is not None
        assert value.step
        return max(math.ceil((value.stop - value.start) / value.step), 0)
    return len(value.list) if isinstance(value, ChoiceSweep) else 1


def _stands_still(value: Any) -> bool:
    return isinstance(value, RangeSweep) and not value.step


def _option_with(composer: Composer, group: str, key: str) -> str | None:
    """The option of a group that has a key which the chosen one lacks."""
    if "." not in key:
        return None
    for option in composer.options(group):
        try:
            config = composer.compose([f"{group}={option}"])
            there = OmegaConf.select(config, key, throw_on_missing=False) is not None
        except UNUSABLE:
            continue
        if there:
            return option
    return None


def _reason(error: Exception) -> str:
    """In one line, without the list of places where Hydra has looked."""
    return " ".join(str(error).partition("Config search path:")[0].split())[:300]


def keys_of(config: DictConfig) -> list[str]:
    """Every dotted key of a config, sections too."""

    def walk(value: Any, path: str) -> Iterator[str]:
        for name, inner in value.items() if isinstance(value, dict) else ():
            yield f"{path}{name}"
            yield from walk(inner, f"{path}{name}.")

    return list(walk(OmegaConf.to_container(without_hydra(config), resolve=False), ""))


def _keys_around(key: str, config: DictConfig) -> str:
    """The keys of the deepest section of a dotted key that exists."""
    known, section = keys_of(config), key
    while section and not any(other.startswith(f"{section}.") for other in known):
        section = section.rpartition(".")[0]
    prefix = f"{section}." if section else ""
    names = [other[len(prefix) :] for other in known if other.startswith(prefix)]
    here = [name for name in names if "." not in name and not name.startswith("_")]
    return f"the keys of {section or 'a config'}: {', '.join(sorted(here))}"


def _key(override: Override) -> str:
    return override.get_key_element()


def _typed(override: Override) -> str:
    """The word as it was typed; Hydra's sweeper turns true into True and ~key into ~key=null."""
    if override.is_delete() and override.value() is None:
        return _key(override)
    if override.is_sweep_override() or not isinstance(override.value(), bool):
        return str(override.input_line)
    return f"{_key(override)}={show(override.value())}"
