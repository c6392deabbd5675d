"""The notebook in docs/ runs from its first cell to its last, and needs nothing but this package."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def committed() -> nbformat.NotebookNode:
    return nbformat.read(DOCS / "tour.ipynb", as_version=4)


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    cells = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in cells if kind in output.get("data", {})]


def test_it_runs_and_ends_in_pictures_and_a_verdict(committed):
    (settings,) = [cell for cell in committed.cells if "trainer.max_epochs=3" in cell.source]
    settings.source = settings.source.replace("trainer.max_epochs=3", "trainer.max_epochs=1")  # and all else as it is
    NotebookClient(committed, timeout=280, kernel_name="python3", resources={"metadata": {"path": DOCS}}).execute()
    assert len(outputs(committed, "image/png")) == 3
    (verdict,) = outputs(committed, "text/markdown")
    assert "3 paired seeds" in verdict
    printed = [output.text for cell in committed.cells for output in cell.get("outputs", []) if "text" in output]
    assert sum(text.count("test accuracy") for text in printed) == 6


def test_it_is_committed_with_its_outputs_and_stays_small():
    notebook = nbformat.read(DOCS / "tour.ipynb", as_version=4)
    assert len(outputs(notebook, "image/png")) == 3
    assert (DOCS / "tour.ipynb").stat().st_size < 600_000


def test_it_imports_from_this_package_alone_what_is_not_for_show(committed):
    code = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "code")
    names = {node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names}
    assert len(names) > 10
    assert {name.split(".")[0] for name in names} <= {"ablate", "IPython", "numpy", "pathlib", "tempfile", "torch"}
