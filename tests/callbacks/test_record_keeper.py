"""The files a run leaves beside its record, from a real Lightning training of a net worked out by hand."""

import csv
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from ablate.callbacks.record_keeper import RecordKeeper
from ablate.callbacks.throughput import Throughput
from ablate.model.classifier import Classifier
from ablate.model.schedule import constant
from ablate.record import RunRecord


class Brightness(nn.Module):
    """Logits (0, b * mean brightness): class 1 for positive normalised brightness. `b` starts at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.mean((1, 2, 3)) * self.b
        return torch.stack([torch.zeros_like(bright), bright], 1)


def pictures(values: list[int], labels: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [
        (torch.full((8, 8, 3), value, dtype=torch.uint8), torch.tensor(label))
        for value, label in zip(values, labels, strict=True)
    ]


def classifier(lr: float = 0.0, **settings) -> Classifier:
    # mean 0.2, std 0.4 on the scale [0, 1]: pixel 51 -> 0, 153 -> 1, 255 -> 2.
    optimizer = partial(torch.optim.SGD, lr=lr)
    return Classifier(Brightness(), mean=[0.2] * 3, std=[0.4] * 3, optimizer=optimizer, scheduler=constant, **settings)


def trainer(folder, *callbacks, epochs: int = 2, **settings) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def loader(values: list[int], labels: list[int], batch_size: int) -> DataLoader:
    return DataLoader(pictures(values, labels), batch_size=batch_size)


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(name="n", seed=0, variant={}, config={}, config_hash="h")


def test_an_epochs_numbers_are_means_over_its_samples_not_over_its_batches(tmp_path, record):
    keeper, throughput = RecordKeeper(record, tmp_path), Throughput()
    # Training batches of 2 and 1: logits (0, 2), (0, 0), (0, 1), all of class 1.
    train, val = loader([255, 51, 153], [1, 1, 1], 2), loader([255, 153, 153], [1, 0, 1], 2)
    trainer(tmp_path, throughput, keeper).fit(classifier(), train, val)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "2"), ("1", "4")]
    loss = [np.log1p(np.exp(-2)), np.log(2), np.log1p(np.exp(-1))]  # -log softmax, by hand
    assert float(rows[0]["train/loss"]) == pytest.approx(np.mean(loss), rel=1e-6)
    assert float(rows[0]["train/accuracy"]) == pytest.approx(2 / 3)  # a tie of logits goes to class 0
    assert float(rows[0]["val/accuracy"]) == pytest.approx(2 / 3)
    assert not [name for name in rows[0] if name == "seconds" or name.startswith("throughput/")]
    with (tmp_path / "timings.csv").open() as file:
        timings = list(csv.DictReader(file))
    assert [row["epoch"] for row in timings] == ["0", "1"]
    assert float(timings[1]["seconds"]) > float(timings[0]["seconds"]) > 0
    assert float(timings[0]["throughput/images_per_second"]) > 0
    assert RunRecord.read(tmp_path).epochs == 2


def test_predictions_hold_label_class_and_probability_of_every_test_picture(tmp_path, record):
    keeper = RecordKeeper(record, tmp_path)
    trainer(tmp_path, keeper).test(classifier(), loader([255, 0, 153], [1, 1, 0], 2), verbose=False)
    with np.load(tmp_path / "predictions.npz") as found:
        assert found["label"].tolist() == [1, 1, 0]
        assert found["predicted"].tolist() == [1, 0, 1]
        by_hand = [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-1))]
        assert found["probability"] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(("l1", "moved"), [(0.0, 0.0), (0.25, -0.25)])
def test_the_l1_penalty_is_added_to_the_gradient_and_logged_apart(tmp_path, record, l1, moved):
    # A picture of brightness 0 has no gradient in b: what moves b = 1 by lr * l1 * sign(b) is the penalty alone.
    module = classifier(lr=1.0, l1=l1)
    fit = trainer(tmp_path, RecordKeeper(record, tmp_path), epochs=1)
    fit.fit(module, loader([51, 51], [1, 0], 2), loader([51], [1], 1))
    assert module.net.b.item() == pytest.approx(1 + moved, abs=1e-6)
    assert fit.callback_metrics["train/loss"].item() == pytest.approx(np.log(2))
    if l1:
        assert fit.callback_metrics["train/l1"].item() == pytest.approx(0.25)


def test_label_smoothing_touches_the_training_loss_alone(tmp_path, record):
    fit = trainer(tmp_path, RecordKeeper(record, tmp_path), epochs=1)
    fit.fit(classifier(label_smoothing=0.2), loader([255], [1], 1), loader([255], [1], 1))
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    assert fit.callback_metrics["train/loss"].item() == pytest.approx(0.9 * right + 0.1 * wrong, rel=1e-5)
    assert fit.callback_metrics["val/loss"].item() == pytest.approx(right, rel=1e-5)


def test_normalising_keeps_the_memory_as_it_came():
    images = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).view(2, 4, 4, 3)
    out = classifier().normalize(images)
    assert out.shape == (2, 3, 4, 4)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out[1, 2, 0, 3].item() == pytest.approx((images[1, 0, 3, 2].item() / 255 - 0.2) / 0.4, rel=1e-6)
