"""Training pictures a second on one core, with the assignment's transforms.  python benchmarks/loader.py

The rivals are what one writes without this project: a Dataset around `A.Compose`, or around the transforms one by one.
They return normalised floats from streams of their own; this loader returns bytes from one exact stream a picture, and
is timed with the normalisation on the same core as well, so that the work is the same.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from conditions import alternate, print_conditions
from table import Row, markdown
from torch.utils.data import DataLoader, Dataset

from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.source import Pictures

NUM_PICTURES, BATCH_SIZE, ROUNDS = 4608, 128, 9  # 36 full batches; a tenth of 5120 is for validation
MEAN = STD = (0.5, 0.5, 0.5)
OURS, NORMALIZED = "loader", "loader and normalisation"
COMPOSED, ONE_BY_ONE = "A.Compose in a Dataset", "transforms one by one"


def augmenting() -> dict[str, Any]:
    return {
        "pad": A.PadIfNeeded(36, 36, fill=0),
        "crop": A.RandomCrop(32, 32),
        "rotate": A.Rotate(limit=15, p=0.7),
        "flip": A.HorizontalFlip(p=0.5),
        "cutout": A.CoarseDropout(
            num_holes_range=(2, 2), hole_height_range=(8, 8), hole_width_range=(8, 8), fill=0, p=1.0
        ),
    }


def finishing() -> dict[str, Any]:
    return {"normalize": A.Normalize(MEAN, STD), "tensor": A.ToTensorV2()}


class Noise:
    classes = tuple("0123456789")
    image_size = 32

    def train(self) -> Pictures:
        draw, count = np.random.default_rng(0), 5120
        return Pictures(draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 10)

    def test(self) -> Pictures:
        return self.train()


class OneByOne(Dataset[Any]):
    def __init__(self, pictures: Pictures, steps: list[Any]) -> None:
        self._pictures, self._steps = pictures, steps

    def __len__(self) -> int:
        return len(self._pictures.labels)

    def __getitem__(self, index: int) -> Any:
        picture = self._pictures.pixels[index]
        for step in self._steps:
            picture = step(image=picture)["image"]
        return picture, self._pictures.labels[index]


def ours() -> ClassificationData:
    augmentation = Augmentation({**augmenting(), **finishing()}, finishing())
    data = ClassificationData(Noise(), augmentation, batch_size=BATCH_SIZE, val_fraction=0.1, seed=0)
    data.setup("fit")
    return data


def normalized(loader: Any) -> Iterator[torch.Tensor]:
    for images, _ in loader:
        yield images.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)


def pictures_per_second(loader: Callable[[], Any]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        for _ in loader():
            pass
        return NUM_PICTURES / (time.perf_counter() - start)

    measure()  # warm up
    return measure


def speeds(rounds: int) -> dict[str, list[float]]:
    """Pictures a second, by round, on one core without workers."""
    data = ours()
    train, pictures = data.train_dataloader(), data.train_pictures
    assert len(pictures.labels) == NUM_PICTURES
    steps = [*augmenting().values(), *finishing().values()]
    composed = A.Compose([*augmenting().values(), *finishing().values()], strict=True)
    rivals = {COMPOSED: OneByOne(pictures, [composed]), ONE_BY_ONE: OneByOne(pictures, steps)}
    timed = {
        OURS: lambda: train,
        NORMALIZED: lambda: normalized(train),
        **{
            name: lambda rival=rival: DataLoader(rival, BATCH_SIZE, shuffle=True, num_workers=0)
            for name, rival in rivals.items()
        },
    }
    return alternate({name: pictures_per_second(loader) for name, loader in timed.items()}, rounds)


def rows(rounds: int) -> list[Row]:
    """On one core: torch's threads and the process are tied to it meanwhile."""
    threads, cores = torch.get_num_threads(), getattr(os, "sched_getaffinity", lambda _: set())(0)
    torch.set_num_threads(1)
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        measured = speeds(rounds)
    finally:
        torch.set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)
    return [
        Row(f"{name}, against {rival}", measured[name], measured[rival], "pictures/s", at_least=1.3)
        for rival in (COMPOSED, ONE_BY_ONE)
        for name in (OURS, NORMALIZED)
    ]


def main() -> None:
    print_conditions("python benchmarks/loader.py")
    print(f"one core, no workers, {NUM_PICTURES} pictures of 32 x 32, batch {BATCH_SIZE}")
    print(markdown(rows(ROUNDS)))


if __name__ == "__main__":
    main()
