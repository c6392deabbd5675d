"""From the files in `conf/` and words like `optimizer.lr=0.2` to a resolved mapping, through Hydra."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from ablate.config.bombs import bombs
from ablate.config.check import MISSING, find_problems, leaves
from ablate.config.others import without_schemas
from ablate.config.resolvers import register_resolvers, without_hydra
from ablate.config.schema import Config
from ablate.config.translate import words_at
from ablate.errors import Problem, UserError

VERSION_BASE = "1.3"  # of Hydra's behaviour
CONFIG_NAME = "config"
LINK = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")


class Composer:
    """Hydra's composition over one `conf/`, without Hydra's global state."""

    def __init__(self, conf: Path, config_name: str = CONFIG_NAME, extra: Path | None = None) -> None:
        for folder in (conf, extra):
            if folder is not None and not folder.is_dir():
                raise UserError.of(f"{folder} is no folder", "a folder of YAML files", "--config-dir DIR")
            UserError.raise_all(bombs(folder) if folder is not None else ())
        version.setbase(VERSION_BASE)
        setup_globals()
        register_resolvers()
        without_schemas()
        search_path = create_config_search_path(str(conf.resolve()))
        if extra is not None:
            search_path.prepend("command-line", f"file://{extra.resolve()}")
        self.config_name = config_name
        self._loader = ConfigLoaderImpl(search_path)
        self._parser = OverridesParser.create(config_loader=self._loader)

    def parse(self, word: str) -> Override:
        """Raises Hydra's own exceptions."""
        (override,) = self._parser.parse_overrides([word])  # `parse_override` would leave glob(...) without the options
        return override

    def options(self, group: str) -> list[str]:
        """The files of a group, such as `model` or `hydra/launcher`; none if there is no such group."""
        return sorted(self._loader.get_group_options(group, config_name=self.config_name))

    def groups(self) -> list[str]:
        return sorted(group for group in self._loader.list_groups("") if group != "hydra" and self.options(group))

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The config of one run with its `hydra` node, unresolved. Raises Hydra's own exceptions."""
        return self._loader.load_configuration(self.config_name, list(words), RunMode.RUN, from_shell=False)


@dataclass(frozen=True)
class Resolved:
    """A config as plain values, without the `hydra` node; `MISSING` stands for what has no value.

    `links`: keys that are `${another.key}` and nothing else, with the key that they repeat.
    """

    plain: dict[str, Any]
    links: dict[str, str]
    problems: list[Problem]


def resolve(config: DictConfig) -> Resolved:
    """All interpolations of a composed config, as far as they can be resolved."""
    own = without_hydra(config)
    raw = dict(leaves(OmegaConf.to_container(own, resolve=False)))
    links = {path: found[1] for path, value in raw.items() if (found := LINK.fullmatch(str(value)))}
    problems: dict[str, Problem] = {}
    for key in (path for path, value in raw.items() if value == "???"):
        problems[key] = Problem(f"{key} is not set", *words_at(key))
        _replace(own, key)
    while True:
        try:
            plain = OmegaConf.to_container(own, resolve=True)
        except OmegaConfBaseException as error:
            key = error.full_key or ""
            if not key or key in problems:
                raise
            reason = str(error).partition("\n")[0]
            problems[key] = Problem(f"{key}={raw.get(key)}: {reason}", *words_at(key))
            _replace(own, key)
        else:
            assert isinstance(plain, dict)
            return Resolved({str(key): value for key, value in plain.items()}, links, list(problems.values()))


def checked(config: DictConfig) -> Config:
    """The config that Hydra hands to a run, or a `UserError` with everything that is wrong with it."""
    resolved = resolve(config)
    UserError.raise_all([*resolved.problems, *find_problems(resolved.plain, resolved.links)])
    return Config.of(resolved.plain)


def _replace(config: DictConfig, key: str) -> None:
    with flag_override(config, ["struct", "readonly"], [False, False]):
        OmegaConf.update(config, key, MISSING)
