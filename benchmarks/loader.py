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
from conditions import alternate, print_conditions, ratios, summary
from torch.utils.data import DataLoader, Dataset

from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.source import Pictures

NUM_PICTURES, BATCH_SIZE, ROUNDS = 4608, 128, 9  # 36 full batches; a tenth of 5120 is for validation
MEAN = STD = (0.5, 0.5, 0.5)


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


def main() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print_conditions("python benchmarks/loader.py")
    data = ours()
    train, pictures = data.train_dataloader(), data.train_pictures
    assert len(pictures.labels) == NUM_PICTURES
    steps = [*augmenting().values(), *finishing().values()]
    composed = A.Compose([*augmenting().values(), *finishing().values()], strict=True)
    rivals = {
        "A.Compose in a Dataset": OneByOne(pictures, [composed]),
        "transforms one by one": OneByOne(pictures, steps),
    }
    timed = {
        "this loader": lambda: train,
        "this loader, and normalised": lambda: normalized(train),
        **{
            name: lambda rival=rival: DataLoader(rival, BATCH_SIZE, shuffle=True, num_workers=0)
            for name, rival in rivals.items()
        },
    }
    speeds = alternate({name: pictures_per_second(loader) for name, loader in timed.items()}, ROUNDS)
    print(
        f"pictures/s, one core, no workers, {NUM_PICTURES} pictures of 32 x 32, batch {BATCH_SIZE}; median (quartiles)"
    )
    for name, values in speeds.items():
        print(f"{name:30s}{summary(values, 0)}")
    for rival in rivals:
        for name in list(timed)[:2]:
            print(f"{name} / {rival}: {summary(ratios(speeds[name], speeds[rival]))}")


if __name__ == "__main__":
    main()
