"""Imports point one way. Each part may import the parts listed for it, and itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ablate

ROOT = Path(ablate.__file__).parent
FOUNDATION = {"errors", "record", "streams"}
MAY_IMPORT = {
    "errors": set(),
    "streams": set(),
    "record": {"errors"},
    "environment": set(),
    "processes": {"errors", "record"},
    "changes": {"environment", "record"},
    "checkpoint": {"errors", "record"},
    "start": {"board", "changes", "checkpoint", "environment", "errors", "record"},
    "trouble": {"config", "record"},
    "ranks": {"changes", "config", "environment", "errors", "processes", "record", "trouble"},
    "graph": set(),
    "board": {"graph"},
    "data": FOUNDATION,
    "model": FOUNDATION,
    "explain": FOUNDATION | {"data", "model"},  # the types of pictures and of a classifier
    "callbacks": FOUNDATION | {"board", "checkpoint", "data", "explain", "processes"},
    "config": FOUNDATION
    | {"board", "callbacks", "data", "environment", "explain", "model"},  # to try what a config names
    "report": {"errors", "record"},
    "sweep": FOUNDATION | {"config", "processes", "report"},
    "build": FOUNDATION
    | {"board", "callbacks", "checkpoint", "config", "data", "environment", "explain", "model", "processes", "ranks"},
    "reopen": FOUNDATION | {"build", "checkpoint", "config", "explain", "model"},
    "run": FOUNDATION
    | {"board", "build", "callbacks", "changes", "checkpoint", "config", "environment", "processes", "ranks", "start"}
    | {"trouble"},
    "estimate": {"build", "config", "processes"},
    "training": FOUNDATION | {"config", "ranks", "run", "sweep"},
    "single": FOUNDATION | {"config", "environment", "processes", "ranks", "run", "sweep", "training"},
    "cluster": FOUNDATION | {"config", "processes", "single", "sweep", "training"},
    "commands": FOUNDATION
    | {"changes", "cluster", "config", "environment", "estimate", "processes", "single", "sweep", "training"},
    "cli": {"commands", "errors", "explain", "processes", "reopen", "report", "sweep"},
    "__main__": {"cli"},
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parents = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    from_root = {
        f"ablate.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "ablate"
        for alias in node.names
        if alias.name != "__version__"
    }
    return plain | (parents - {"ablate"}) | from_root


def test_every_part_is_in_the_table():
    assert {part(path) for path in FILES} == set(MAY_IMPORT)
    assert len(FILES) > 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("ablate.")}
    assert inner - {part(path)} <= MAY_IMPORT[part(path)]


def test_nothing_is_imported_in_a_circle():
    reached: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in reached:
            reached[name] = set()
            reached[name] = MAY_IMPORT[name].union(*(reach(other) for other in MAY_IMPORT[name]))
        return reached[name]

    assert [name for name in MAY_IMPORT if name in reach(name)] == []


def users_of(*packages: str) -> set[str]:
    return {part(path) for path in FILES if {name.split(".")[0] for name in imports(path)} & set(packages)}


def test_hydra_stops_at_the_door():
    assert users_of("hydra", "omegaconf") <= {"commands", "config", "single", "training"}


def test_albumentations_is_behind_the_augmentation():
    files = {path.name for path in FILES if "albumentations" in {name.split(".")[0] for name in imports(path)}}
    assert files <= {"augment.py", "parts.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_fits_on_a_few_screens(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("module", ["ablate.report.command", "ablate.record", "ablate.sweep.table", "ablate.cli"])
def test_what_only_reads_records_never_imports_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
