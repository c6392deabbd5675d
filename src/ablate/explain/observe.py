"""Looking at a network without touching it, or anything around it."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def private_copy(net: nn.Module) -> Iterator[nn.Module]:
    """An eager float32 copy of `net` in eval mode, its parameters frozen, to do anything with.

    `net` may be compiled, wrapped for data-parallel training, half precision, in training, in the middle of gradient
    accumulation; the caller may be under `inference_mode`, `no_grad` or autocast. Inside, gradients work and autocast
    is off. Afterwards modes, gradients, hooks and every random generator are as found.
    """
    net = unwrapped(net)
    device = next(net.parameters()).device
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        _generators_kept(device),
        _full_precision(),
    ):
        # A copy and not the network: batch norm in eval mode, `.grad` and hooks would all have to be put back, and a
        # hook added after the first compiled call never fires.
        twin = _eager(copy.deepcopy(net))
        yield twin.eval().float().requires_grad_(False)


@contextmanager
def outputs_of(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Any]]]:
    """name -> what the module returned, once for each call, as something that has a gradient."""
    outputs: dict[str, list[Any]] = {name: [] for name in modules}

    def hook(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            outputs[name].append(output)
            if not isinstance(output, Tensor):
                return output
            # The next layer gets a copy: an in-place ReLU would overwrite what is being explained.
            return output.requires_grad_().clone()

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def unwrapped(net: nn.Module) -> nn.Module:
    """The user's own module, out of `torch.compile` and (distributed) data parallel."""
    wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    while isinstance(net, wrappers) or hasattr(net, "_orig_mod"):
        inner: Any = net.module if isinstance(net, wrappers) else net._orig_mod
        net = inner
    return net


def _eager(net: nn.Module) -> nn.Module:
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if hasattr(child, "_orig_mod"):
                setattr(module, name, unwrapped(child))
    return net


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TensorFloat-32 in matrix products: a map that adds up to its logit does so to seven digits, not three."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
