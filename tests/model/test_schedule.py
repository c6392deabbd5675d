"""Learning rates worked by hand at the corners, and the momentum that must not move."""

import pytest
import torch
from torch import nn

from ablate.model.schedule import constant, cosine, one_cycle


def learning_rates(schedule, steps: int, lr: float = 1.0, **settings) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    scheduler = schedule(optimizer, total_steps=steps, **settings)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.9
        optimizer.step()
        scheduler.step()
    return seen


def test_cosine_at_its_corners():
    rates = learning_rates(cosine, 100, num_epochs=10, warmup_epochs=1)
    assert [rates[step] for step in (0, 9, 10, 55)] == pytest.approx([0.1, 1.0, 1.0, 0.5])
    assert 0 < rates[99] < 0.001


def test_cosine_without_warm_up_starts_at_the_top():
    assert learning_rates(cosine, 4, num_epochs=1) == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_one_cycle_starts_at_a_25th_peaks_at_max_lr_and_ignores_the_optimizers_own():
    rates = learning_rates(one_cycle, 101, lr=123.0, num_epochs=10, max_lr=0.1, pct_start=0.5)
    assert rates[0] == pytest.approx(0.004)
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    assert rates.index(max(rates)) in (49, 50)
    assert rates[-1] == pytest.approx(0.004 / 1e4)


def test_constant_stays():
    assert learning_rates(constant, 5, lr=0.3, num_epochs=1) == [0.3] * 5
