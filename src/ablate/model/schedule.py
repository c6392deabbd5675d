"""Learning-rate schedules, stepped once an optimizer update.

A schedule is called as `schedule(optimizer, total_steps=..., num_epochs=...)`; `total_steps` counts the optimizer's
updates over the whole training, `num_epochs` the epochs they fall into.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR


def one_cycle(
    optimizer: Optimizer,
    *,
    total_steps: int,
    num_epochs: int,
    max_lr: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    cycle_momentum: bool = False,
) -> LRScheduler:
    """Up to `max_lr` and down again, along half cosines.  Smith and Topin 2017, https://arxiv.org/abs/1708.07120.

    The learning rate runs from `max_lr / div_factor` to `max_lr` over the first `pct_start` of the steps, in (0, 1),
    then to `max_lr / div_factor / final_div_factor`. The optimizer's own learning rate is not used. Unlike torch's
    default, the momentum stays the optimizer's: cycled, it would override the momentum under test.
    """
    return OneCycleLR(
        optimizer,
        max_lr,
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum=cycle_momentum,
    )


def cosine(optimizer: Optimizer, *, total_steps: int, num_epochs: int, warmup_epochs: float = 0.0) -> LRScheduler:
    """Linear warm-up, then half a cosine to zero.  Goyal et al. 2017; Loshchilov and Hutter 2016.

    The factor on the optimizer's learning rate is (step + 1) / warm-up steps in the warm-up, so that no update is
    wasted at zero, 1 where it ends, and 0 at `total_steps`. `warmup_epochs` in [0, num_epochs).
    """
    warmup_steps = round(total_steps * warmup_epochs / num_epochs)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, *, total_steps: int, num_epochs: int) -> LRScheduler:
    """The optimizer's learning rate throughout."""
    return LambdaLR(optimizer, lambda _step: 1.0)
