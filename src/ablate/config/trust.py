"""`allow_targets`: packages beside the built-in list whose classes a config may name, and who may say so."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablate.errors import Problem

INSTALLED = {"site-packages", "dist-packages"}  # the folders of packages that somebody else wrote


def unusable_packages(allow: Sequence[str]) -> Iterator[Problem]:
    """Entries that name no package, or one that nobody may allow."""
    for package in allow:
        root = package.partition(".")[0]
        if not all(part.isidentifier() for part in package.split(".")):
            yield Problem(
                f"allow_targets=[{package}]", "names of packages, without a star", "allow_targets=[my_package]"
            )
        elif root in sys.stdlib_module_names or root in ("ablate", "builtins", "hydra", "omegaconf"):
            yield Problem(
                f"allow_targets=[{package}] would let a config call anything",
                "the package that holds your own classes",
                "allow_targets=[my_package]",
            )


def untrusted_packages(allow: Sequence[str], fix: str = "allow_targets=[{}]") -> Iterator[Problem]:
    """Entries that a file may not make: a file can come from somebody else, and some function of some installed
    package runs a command. Packages of one's own, beside train.py or installed in place, may stand in a file.

    `fix`: what to type instead, with {} for the package.
    """
    for package in allow:
        if _is_installed(package.partition(".")[0]):
            yield Problem(
                f"allow_targets=[{package}] in a file: {package} is an installed package",
                "installed packages that are named on the command line, packages of your own in a file",
                f"{fix.format(package)}, if you trust the file",
            )


def _is_installed(root: str) -> bool:
    """Whether a package lies among the installed ones; nothing is imported."""
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return any(INSTALLED & set(Path(place).parts) for place in places if place)
