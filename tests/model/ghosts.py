"""Pictures for the tests of ghost batch norm, and who shares a ghost."""

import torch
from torch import Tensor

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def ghosts_of(x: Tensor, num_ghosts: int) -> list[list[int]]:
    """The documented membership: neighbours."""
    return [part.tolist() for part in torch.arange(len(x)).tensor_split(num_ghosts)]


def pictures(n: int, layout: torch.memory_format, c: int = 3, size: int = 5, dtype=torch.float32) -> Tensor:
    x = torch.randn(n, c, size, size, generator=torch.Generator().manual_seed(n), dtype=dtype) * 3 + 2
    return x.to(memory_format=layout)
