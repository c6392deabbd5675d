"""What the tests of resuming share."""

from pathlib import Path

import pytest
import torch
from killing import config

from ablate.record import RunRecord
from ablate.run import run


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody disturbed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("reference")
    record: RunRecord = run(config(), folder, {})
    assert record.status == "done", record.error
    return folder
