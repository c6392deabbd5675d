"""`allow_targets`: packages beside the built-in list whose classes a config may name, and who may say so."""

import importlib.util
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def untrusted_packages(
    plain: Mapping[str, Any], typed: Collection[str] = (), fix: str = "allow_targets=[{}]"
) -> Iterator[Problem]:
    """Entries that a file may not make: a file can come from somebody else, and some function of some installed
    package runs a command. Packages of one's own, beside train.py or installed in place, may stand in a file.

    `plain`: a resolved config. `typed`: the keys from the command line. `fix`: what to type, with {} for the package.
    """
    allow = plain.get("allow_targets")
    for package in allow if isinstance(allow, list) and "allow_targets" not in typed else ():
        if _is_installed(str(package).partition(".")[0]):
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


def untrusted_program(program: Path, folder: Path) -> Iterator[Problem]:
    """Why the program that a record or a manifest names is not started: it could be anybody's."""
    known = [Path.cwd(), Path(__file__).resolve().parents[3]]  # where the user stands; the project of this package
    if program.resolve().parent not in [place.resolve() for place in known]:
        yield Problem(
            f"{folder} was made by {program}",
            "the train.py of this project, or of the folder in which the command is typed",
            f"cd {program.parent} && python -m ablate resume '{folder.resolve()}', if you trust it",
        )
