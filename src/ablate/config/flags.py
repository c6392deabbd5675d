"""Hydra's options about where the config lies: --config-dir, --config-path, --config-name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from ablate.config.compose import CONFIG_NAME, Composer


def composer(conf: Path, options: argparse.Namespace) -> Composer:
    """Of the config that these options of Hydra's choose."""
    extra = Path(options.config_dir) if options.config_dir else None
    return Composer(Path(options.config_path or conf), options.config_name or CONFIG_NAME, extra)


def valued_flags(options: argparse.Namespace) -> list[str]:
    """Hydra's options about where the config lies, from wherever Hydra looks at them."""
    flags = {"config-path": options.config_path, "config-dir": options.config_dir}
    named = [f"--config-name={options.config_name}"] if options.config_name else []
    return named + [f"--{name}={Path(value).resolve()}" for name, value in flags.items() if value]


def parse_flags(flags: Sequence[str]) -> argparse.Namespace:
    """What `valued_flags` has written."""
    options: argparse.Namespace = get_args_parser().parse_args(list(flags))
    return options
