"""Cost of ghost batch norm against batch norm, forward + backward.  python benchmarks/ghost_batch_norm.py

The shapes are those of the slim network's four layers (batch 128), and of the full network's first.
"""

import time
from collections.abc import Callable

import torch
from conditions import alternate, print_conditions, ratios, summary
from torch import Tensor, nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d

SHAPES = [(128, 16, 32, 32), (128, 32, 16, 16), (128, 64, 8, 8), (128, 128, 4, 4), (128, 64, 32, 32)]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ROUNDS, CALLS = 15, 10


def timed(layer: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], float]:
    def milliseconds() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            layer(x).backward(grad)
            x.grad = None
        return (time.perf_counter() - start) / CALLS * 1e3

    milliseconds()  # warm up
    return milliseconds


def main() -> None:
    print_conditions("python benchmarks/ghost_batch_norm.py")
    for name, layout in LAYOUTS.items():
        total = {"plain": 0.0, "ghost": 0.0}
        for shape in SHAPES:
            x = torch.randn(shape).to(memory_format=layout).requires_grad_()
            grad = torch.randn(shape).to(memory_format=layout)
            layers = {"plain": nn.BatchNorm2d(shape[1]), **{g: GhostBatchNorm2d(shape[1], g) for g in (16, 32, 64)}}
            times = alternate({str(key): timed(layer, x, grad) for key, layer in layers.items()}, ROUNDS)
            row = "   ".join(f"ghosts of {g}: {summary(ratios(times[str(g)], times['plain']))}" for g in (16, 32, 64))
            print(f"{name:14s}{shape!s:20s} batch norm {summary(times['plain'])} ms   ratio {row}")
            if shape in SHAPES[:4]:
                total["plain"] += 5 * sorted(times["plain"])[ROUNDS // 2]
                total["ghost"] += 5 * sorted(times["32"])[ROUNDS // 2]
        print(f"{name:14s}the slim network's 20 layers, ghosts of 32: ratio {total['ghost'] / total['plain']:.2f}")


if __name__ == "__main__":
    main()
