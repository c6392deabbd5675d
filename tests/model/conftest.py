"""What the tests of ghost batch norm share."""

import shutil

import pytest

from ablate.model import ghost_batch_norm, ghosts_on_cpu


@pytest.fixture(params=["compiled", "plain"])
def way(request, monkeypatch) -> str:
    """The two ways in which the layer is computed on a CPU."""
    if request.param == "plain":
        monkeypatch.setattr(ghost_batch_norm, "kernels_for", lambda device: None)
    elif shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    else:
        assert ghosts_on_cpu.library() is not None
    return request.param
