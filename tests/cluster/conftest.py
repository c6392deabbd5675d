"""The cluster that the tests here share."""

import os
from pathlib import Path

import pytest
from one_node import missing, one_node

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    if gone := missing():
        pytest.fail(f"no SLURM to test with ({', '.join(gone)} not found); type: make test-cluster", pytrace=False)
    with one_node(tmp_path_factory.mktemp("slurm")) as running:
        # What the commands see; the nodes get it from them.
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        running.environment = {
            **{name: running.environment[name] for name in ("PATH", "SLURM_CONF")},
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
        }
        yield running
