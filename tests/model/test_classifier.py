"""What the classifier logs of the optimizer."""

from collections import defaultdict
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import nn
from torch.utils.data import DataLoader

from ablate.model.classifier import Classifier
from ablate.model.schedule import one_cycle

EVERY, NUM_BATCHES, NUM_EPOCHS = 3, 8, 2


class Written(DummyLogger):
    """Keeps what a logger would write."""

    def __init__(self):
        super().__init__()
        self.values = defaultdict(dict)

    def log_metrics(self, metrics, step=None):
        for name, value in metrics.items():
            self.values[name][step] = value


@pytest.fixture(scope="module")
def trained():
    """(what was written, calls that logged the learning rate, `callback_metrics` at the end)"""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    classifier = Classifier(
        net,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        scheduler=partial(one_cycle, max_lr=0.1),
    )
    calls, log_dict = [], classifier.log_dict
    classifier.log_dict = lambda values, **how: (calls.append(set(values)), log_dict(values, **how))
    pictures = torch.arange(NUM_BATCHES * 2 * 48, dtype=torch.uint8).view(-1, 4, 4, 3)
    loader = DataLoader(list(zip(pictures, [0, 1] * NUM_BATCHES, strict=True)), batch_size=2)
    logger = Written()
    trainer = pl.Trainer(
        max_epochs=NUM_EPOCHS,
        accelerator="cpu",
        logger=logger,
        num_sanity_val_steps=0,
        log_every_n_steps=EVERY,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, loader, loader)
    return logger.values, [names for names in calls if "optimizer/lr" in names], trainer.callback_metrics


def schedule():
    """The learning rate of every step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    steps = one_cycle(optimizer, total_steps=NUM_BATCHES * NUM_EPOCHS, num_epochs=NUM_EPOCHS, max_lr=0.1)
    rates = []
    for _ in range(NUM_BATCHES * NUM_EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        steps.step()
    return rates


def test_the_learning_rate_of_every_nth_step_is_written(trained):
    written, _, _ = trained
    rates = schedule()
    steps = [2, 5, 8, 11, 14]  # from 0, every third
    assert written["optimizer/lr"] == pytest.approx({step: rates[step] for step in steps})
    assert written["optimizer/momentum"] == pytest.approx(dict.fromkeys(steps, 0.9))


def test_the_learning_rate_of_the_last_step_stands_for_the_epoch(trained):
    assert float(trained[2]["optimizer/lr"]) == pytest.approx(schedule()[-1])


def test_lightning_is_not_asked_in_steps_that_it_would_drop(trained):
    _, calls, _ = trained
    assert len(calls) == 5 + 2  # those that are written, and the last of each epoch (steps 7 and 15)
