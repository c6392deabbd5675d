"""What the tests of resuming share."""

import shutil
from pathlib import Path

import pytest
import torch
from killing import config, killed

from ablate.record import RunRecord
from ablate.run import run


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


PINNED = ("ablate.environment.code_digest", lambda _: "c0dec0dec0de")


@pytest.fixture(autouse=True)
def _code_that_nobody_edits(monkeypatch: pytest.MonkeyPatch):
    """Whoever works on the package while the tests run would stop every resume."""
    monkeypatch.setattr(*PINNED)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody disturbed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*PINNED)
        record: RunRecord = run(config(), folder, {})
    assert record.status == "done", record.error
    return folder


@pytest.fixture(scope="session")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed in its third epoch, its best being of the first or the second."""
    folder = tmp_path_factory.mktemp("broken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*PINNED)
        killed(folder, at=("train_batch", 2, 2))
    return folder


@pytest.fixture
def folder(broken_off: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(broken_off, tmp_path / "run"))
