"""Cost of ghost batch norm against batch norm, forward + backward.

    python benchmarks/ghost_batch_norm.py [--rounds 25]

The shapes are those of the four layers of the slim and the full network; each has five normalisations in ResNet18, so
that a network's ratio is that of the sums over its shapes. Freed memory is kept, as in the commands, for both layers.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from conditions import alternate, print_conditions
from table import Row, markdown
from torch import Tensor, nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d
from ablate.processes.heap import keep_freed_memory

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
NETWORKS = {"slim": 16, "full": 64}
TARGET = 1.05


def timed(layer: nn.Module, x: Tensor, grad: Tensor, calls: int) -> Callable[[], float]:
    def milliseconds() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            layer(x).backward(grad)
            x.grad = None
        return (time.perf_counter() - start) / calls * 1e3

    milliseconds()  # warm up
    return milliseconds


def times(shape: tuple[int, ...], layout: torch.memory_format, rounds: int) -> dict[str, list[float]]:
    """Milliseconds by round, of batch norm under "0" and of ghosts of every size that divides this batch twice."""
    x = torch.randn(shape).to(memory_format=layout).requires_grad_()
    grad = torch.randn(shape).to(memory_format=layout)
    calls = max(2, min(20, 4_000_000 // x.numel()))
    layers: dict[str, nn.Module] = {"0": nn.BatchNorm2d(shape[1])}
    layers |= {str(g): GhostBatchNorm2d(shape[1], g) for g in (16, 32, 64, 128) if 2 * g <= shape[0]}
    return alternate({name: timed(layer, x, grad, calls) for name, layer in layers.items()}, rounds)


def rows(rounds: int, batches: tuple[int, ...] = (64, 128, 256), *, details: bool = False) -> Iterator[Row]:
    """A row for each network, memory format and size of batch and ghosts; with `details` for each shape as well."""
    for network, width in NETWORKS.items():
        for layout, memory_format in LAYOUTS.items():
            for batch in batches:
                shapes = [(batch, width * 2**i, 32 // 2**i, 32 // 2**i) for i in range(4)]
                measured = [times(shape, memory_format, rounds) for shape in shapes]
                for ghost in [name for name in measured[0] if name != "0"]:
                    what = f"GBN, {network}, {layout}, batch {batch}, ghosts of {ghost}"
                    ours, theirs = (
                        [sum(each) for each in zip(*(m[n] for m in measured), strict=True)] for n in (ghost, "0")
                    )
                    yield Row(what, ours, theirs, "ms", at_most=TARGET)
                    for shape, each in zip(shapes, measured, strict=True) if details else ():
                        yield Row(f"  {shape}", each[ghost], each["0"], "ms", at_most=TARGET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    print_conditions(f"python benchmarks/ghost_batch_norm.py --rounds {rounds}")
    print(markdown(rows(rounds, details=True)))


if __name__ == "__main__":
    main()
