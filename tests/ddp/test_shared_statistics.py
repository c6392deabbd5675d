"""Running statistics of a batch in shares, in two real processes, against torch's own layer on the whole batch."""

import multiprocessing
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d
from ablate.model.shared_statistics import SharedStatistics

SIZES = [(8, 8), (8, 8), (5, 4), (3, 2)]  # shares of four batches, by process


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(sum(sizes), 3, 2, 2, generator=generator) * 3 + 1 for sizes in SIZES]


def one_rank(rank: int, place: str) -> None:
    """Forward this rank's shares through two layers, one after the other; leave their state."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{place}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    net = nn.ModuleList([GhostBatchNorm2d(3, ghost_size=4), GhostBatchNorm2d(3, ghost_size=4, momentum=None)])
    shared = SharedStatistics(net)
    for batch, sizes in zip(batches(), SIZES, strict=True):
        x = batch.split(sizes)[rank].to(memory_format=torch.channels_last)
        for layer in net:
            layer(x)
        shared.track(len(batch))
    shared.release()
    net[0](batches()[0])  # as in one process again
    torch.save(net.state_dict(), f"{place}/rank_{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    place = str(tmp_path_factory.mktemp("ranks"))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=one_rank, args=(rank, place)) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads: none of them is needed
        for process in processes:
            process.start()
    for process in processes:
        process.join(90)
        assert process.exitcode == 0
    return [torch.load(Path(place) / f"rank_{rank}.pt") for rank in range(2)]


def test_all_processes_have_the_same_to_the_last_bit(states):
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(("number", "momentum"), [(0, 0.1), (1, None)])
def test_they_are_those_of_the_whole_batches(states, number, momentum):
    whole = nn.BatchNorm2d(3, momentum=momentum)
    for batch in [*batches(), *batches()[:1]] if number == 0 else batches():
        whole(batch)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(states[0][f"{number}.{name}"], value, msg=name)
