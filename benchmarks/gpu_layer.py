"""Ghost batch norm on a GPU against batch norm: as a network calls it, its kernels alone, and compiled."""

import time
from collections.abc import Callable
from functools import partial

import torch
from conditions import alternate
from table import Row
from torch import Tensor, nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize() -> float:
    """The time, once the GPU has done what it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


Way = Callable[[nn.Module, Tensor, Tensor], Callable[[], object]]  # layer, x, gradient -> forward and backward


def ghost_batch_norm_rows(empty: Row, tiny: bool, way: Way) -> list[Row]:
    """The row of a network, and one for each shape."""
    batch, width, calls, rounds = (64, 4, 1, 1) if tiny else (512, 64, 20, 9)
    shapes = [(batch, width * 2**i, 32 // 2**i, 32 // 2**i) for i in range(4)]
    measured = []
    for shape in shapes:
        x = torch.randn(shape, device=DEVICE).to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_()
        grad = torch.randn_like(x)
        layers = {"plain": nn.BatchNorm2d(shape[1]).to(DEVICE), "ghost": GhostBatchNorm2d(shape[1], 32).to(DEVICE)}
        timed = {name: partial(milliseconds, way(layer, x, grad), calls) for name, layer in layers.items()}
        alternate(timed, 1)  # compiles, and picks algorithms
        measured.append(alternate(timed, rounds))
    ours, theirs = ([sum(each) for each in zip(*(m[n] for m in measured), strict=True)] for n in ("ghost", "plain"))
    details = [
        Row(f"  {shape}, {way.__name__}", each["ghost"], each["plain"], "ms", at_most=1.05)
        for shape, each in zip(shapes, measured, strict=True)
    ]
    return [Row(empty.what, ours, theirs, "ms", at_most=empty.at_most), *details]


def milliseconds(step: Callable[[], object], calls: int) -> float:
    start = synchronize()
    for _ in range(calls):
        step()
    return (synchronize() - start) / calls * 1e3


def called(layer: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], object]:
    """As a network calls it, one kernel after another from Python."""

    def step() -> None:
        x.grad = None
        with torch.autocast(DEVICE.type, torch.bfloat16):
            layer(x).backward(grad)

    return step


def replayed(layer: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], object]:
    """The same kernels, launched as one graph: what is left where Python runs ahead of the GPU."""
    step = called(layer, x, grad)
    if DEVICE.type == "cpu":
        return step
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def compiled(layer: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], object]:
    return called(torch.compile(layer, dynamic=False), x, grad)
