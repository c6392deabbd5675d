"""A real sweep of two arms and two seeds, and TensorBoard on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, tensorboard

from typed import typed

SWEEP = [
    "data=digits",
    "model.width=4",
    "trainer=smoke",
    "optimizer.nesterov=true,false",
    "seed=0,1",
    "logger.tensorboard.histograms=true",
    "callbacks.trust_card.num_pictures=16",
]


@pytest.fixture(scope="session")
def sweep(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("place")
    done = typed(place, "-m", *SWEEP, "hydra.sweep.dir=sweep")
    assert done.code == 0, done.output
    return place / "sweep"


@pytest.fixture(scope="session")
def dashboards(sweep) -> Iterator[Server]:
    with tensorboard(sweep, num_runs=4, num_ended=4) as server:
        yield server
