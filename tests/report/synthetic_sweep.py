"""Run folders as training leaves them, made up: for the tests and the benchmark of the report."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ablate.record import RunRecord, config_hash
from ablate.report.differences import level

CONFIG: dict[str, Any] = {
    "name": "nesterov_vs_momentum",
    "seed": 0,
    "factors": ["optimizer.nesterov"],
    "data": {
        "source": {"_target_": "ablate.data.digits.Digits"},
        "root": None,
        "batch_size": 128,
        "num_workers": "auto",
    },
    "model": {"_target_": "ablate.model.resnet.gbn_resnet", "depth": 18, "width": 16, "ghost_size": 32},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4},
    "scheduler": {"_target_": "ablate.model.schedule.one_cycle", "max_lr": 0.2, "cycle_momentum": False},
    "trainer": {"max_epochs": 20, "accelerator": "auto"},
    "callbacks": {"gradcam": {"_target_": "ablate.callbacks.gradcam.GradCam", "every_n_epochs": 5}},
    "logger": {"tensorboard": {"_target_": "ablate.board.Board"}},
    "report": {"metric": "test/accuracy", "margin": 0.2, "target": 87},
}


def make_config(variant: Mapping[str, Any], seed: int) -> dict[str, Any]:
    config = json.loads(json.dumps(CONFIG)) | {"seed": seed, "factors": sorted(variant)}
    for key, value in variant.items():
        *groups, last = key.split(".")
        place = config
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return config


def write_run(folder: Path, variant: Mapping[str, Any], seed: int, accuracy: float | None, **changes: Any) -> RunRecord:
    """A finished run with this test accuracy, in [0, 1]; `changes` are fields of the record."""
    config = changes.pop("config", None) or make_config(variant, seed)
    record = RunRecord(
        name=config["name"],
        seed=seed,
        variant=dict(variant),
        config=config,
        config_hash=config_hash(config),
        status="done",
        metrics={} if accuracy is None else {"test/accuracy": accuracy, "test/loss": 1 - accuracy},
        checkpoint={"epoch": 18, "path": "checkpoints/best.ckpt", "chosen_on": "val/accuracy", "value": 0.93},
        epochs=20,
        seconds={"setup": 0.5, "fit": 61.0 + seed, "test": 1.2, "total": 62.7 + seed},
        images_per_second=720.0 + seed,
        peak_memory=900_000_000,
        num_parameters=700_000,
        classes=[f"digit {i}" for i in range(10)],
        versions={"python": "3.11.2", "torch": "2.15.0", "ablate": "0.1.0"},
        device={"kind": "cpu", "name": "a processor", "count": 1, "cores": 2},
        git={"commit": "1f0c3a5e" * 5, "dirty": False},
        initial_weights_hash=f"{seed:016x}",
        data_checksum="d1ce" * 4,
        started="2026-11-22T10:00:00+00:00",
        finished=f"2026-11-22T10:{seed % 60:02d}:01+00:00",
    )
    for name, value in changes.items():
        setattr(record, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder)
    return record


def name_of(variant: Mapping[str, Any], seed: int) -> str:
    return ",".join([*(f"{key.rsplit('.', 1)[-1]}={level(value)}" for key, value in variant.items()), f"seed={seed}"])


def write_values(folder: Path, arms: Mapping[Any, Sequence[float] | Mapping[int, float]], factor: str) -> None:
    """A sweep of one factor from its results alone: level -> accuracies in [0, 1], by seed from 0 or as given."""
    for value, results in arms.items():
        by_seed = results if isinstance(results, Mapping) else dict(enumerate(results))
        for seed, accuracy in by_seed.items():
            variant = {factor: value}
            write_run(folder / name_of(variant, seed), variant, seed, accuracy)


def write_sweep(
    folder: Path,
    factors: Mapping[str, Sequence[Any]],
    seeds: Iterable[int],
    *,
    effects: Mapping[tuple[str, Any], float] | None = None,
    num_pictures: int = 2_000,
    num_epochs: int = 20,
    gradcam: bool = False,
) -> None:
    """A whole sweep with predictions and learning curves that agree with its accuracies.

    A picture is right where ability + easiness > noise. Part of ability is the seed's, so pairs correlate. `effects`:
    (key, value) -> what it adds to ability; 0.1 is about one point.
    """
    seeds = list(seeds)
    easiness = np.random.default_rng(0).normal(3.6, 2.0, num_pictures)
    label = np.random.default_rng(1).integers(0, 10, num_pictures)
    for values in product(*factors.values()):
        variant = dict(zip(factors, values, strict=True))
        ability = sum((effects or {}).get(each, 0.0) for each in variant.items())
        for seed in seeds:
            rng = np.random.default_rng([seed, *repr(values).encode()])
            own = ability + 0.06 * np.random.default_rng([7, seed]).normal() + 0.03 * rng.normal()
            right = own + easiness > rng.logistic(size=num_pictures)
            place = folder / name_of(variant, seed)
            record = write_run(place, variant, seed, float(np.float32(right.mean())))
            predicted = np.where(right, label, (label + rng.integers(1, 4, num_pictures)) % 10)
            np.savez_compressed(
                place / "predictions.npz",
                label=label,
                predicted=predicted,
                probability=rng.uniform(0.4, 1, num_pictures),
            )
            _write_curve(place, num_epochs, float(right.mean()), record.seconds["fit"], rng)
            if gradcam:
                _write_gradcam(place, num_epochs, seed, int(200 * ability) % 255)


def _write_curve(place: Path, num_epochs: int, end: float, seconds: float, rng: np.random.Generator) -> None:
    time = np.arange(1, num_epochs + 1) / num_epochs
    rise = 1 - np.exp(-4.5 * time)
    noise = 0.02 * (1 - time) * rng.normal(size=(2, num_epochs))
    columns = {
        "epoch": np.arange(num_epochs),
        "step": 11 * np.arange(1, num_epochs + 1),
        "seconds": seconds * time,
        "train/accuracy": 0.3 + (0.99 - 0.3) * rise + noise[0] / 2,
        "train/loss": 1.9 * (1 - rise) + 0.02,
        "val/accuracy": 0.25 + (end - 0.25) * rise / rise[-1] + noise[1],
        "val/loss": 2.0 * (1 - rise) + 0.28 - noise[1],
    }
    with (place / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _write_gradcam(place: Path, num_epochs: int, seed: int, tint: int) -> None:
    sheet = Image.new("RGB", (1056, 396), (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    for column in range(8):
        x = 8 + 130 * column
        draw.rectangle((x, 20, x + 120, 140), fill=(40 * column % 255, tint, 120))
        draw.ellipse((x + 20 + seed, 160, x + 100, 250), fill=(230, 30 * column % 255, 60))
    (place / "gradcam").mkdir()
    sheet.save(place / "gradcam" / f"epoch_{num_epochs:03d}.png")
