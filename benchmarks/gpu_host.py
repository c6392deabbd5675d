"""What the host does for one ghost batch norm on a GPU, both ways: Python, torch's dispatch, Triton's launches.

    python benchmarks/gpu_host.py [--rounds 15]

No GPU is needed: the kernels are compiled for an H200 and their launches end where the driver would begin. Tensors are
the CPU's: a GPU's allocator and its guards are not in it. Against batch norm on the CPU, on pictures so small that its
arithmetic is next to nothing. One thread, medians of 200 calls.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch
from conditions import alternate, print_conditions
from table import Row, markdown
from torch import nn
from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.runtime import driver

from ablate.model import ghost_batch_norm, ghosts_on_gpu

H200 = GPUTarget("cuda", 90, 32)
CALLS = 200


def pretend() -> None:
    """Triton finds an H200; what is launched there is not sent."""
    functions = {"target": lambda: H200, "device": lambda: 0, "stream": lambda _device: 0}
    driver.set_active(SimpleNamespace(**{f"get_current_{name}": function for name, function in functions.items()}))
    CompiledKernel._init_handles = lambda kernel: None
    CompiledKernel.run = property(lambda kernel: lambda *arguments: None)
    ghost_batch_norm.kernels_for = lambda _device: ghosts_on_gpu


def microseconds(layer: nn.Module) -> Callable[[], float]:
    x = torch.randn(64, 16, 2, 2).to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn_like(x)

    def measure() -> float:
        taken = []
        for _ in range(CALLS):
            start = time.perf_counter()
            layer(x).backward(grad)
            taken.append(time.perf_counter() - start)
            x.grad = None
        return statistics.median(taken) * 1e6

    return measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    pretend()
    layers = {"ghost": ghost_batch_norm.GhostBatchNorm2d(16, ghost_size=32), "plain": nn.BatchNorm2d(16)}
    timed = {name: microseconds(layer) for name, layer in layers.items()}
    alternate(timed, 1)
    measured = alternate(timed, rounds)
    print_conditions(f"python benchmarks/gpu_host.py --rounds {rounds}")
    print(markdown([Row("host, one layer", measured["ghost"], measured["plain"], "us")]))


if __name__ == "__main__":
    main()
