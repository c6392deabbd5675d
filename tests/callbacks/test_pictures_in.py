"""The class gallery before and after augmentation."""

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate.callbacks import pictures_in
from ablate.callbacks.pictures_in import PicturesIn
from ablate.data.augment import Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.errors import UserError


class Source:
    classes, image_size = ("red thing", "green thing", "blue thing"), 32

    def __init__(self, tiny):
        self._data = tiny()

    def train(self):
        return self._data.train_pictures

    def test(self):
        raise AssertionError("test pictures are not for training")


@pytest.fixture
def data(tiny):
    last = {"normalize": A.Normalize(mean=[0.4] * 3, std=[0.3] * 3), "to_tensor": A.ToTensorV2()}
    augmentation = Augmentation(
        {"flip": A.HorizontalFlip(p=0.5), "crop": A.RandomCrop(32, 32, pad_if_needed=True), **last}, last, image_size=32
    )
    return ClassificationData(Source(tiny), augmentation, batch_size=8, val_fraction=0.25, seed=0)


def test_every_class_has_a_panel_of_the_pictures_that_the_training_gets(
    classifier, trainer, data, tmp_path, monkeypatch
):
    drawn, real = [], pictures_in.class_panel
    monkeypatch.setattr(pictures_in, "class_panel", lambda *given: (drawn.append(given), real(*given))[1])
    trainer(PicturesIn(num_images=2), max_epochs=0).fit(classifier, datamodule=data)
    assert [name for name, _ in drawn] == list(Source.classes)
    assert [columns.shape for _, columns in drawn] == [(2, 5, 32, 32, 3)] * 3
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.batch_sampler.set_epoch(epoch)
        batches = {image.numpy().tobytes() for images, _ in loader for image in images}
        assert all(columns[i, 1 + epoch].tobytes() in batches for _, columns in drawn for i in range(2))
    pixels = {p.tobytes() for p in data.train_pictures.pixels}
    assert all(columns[i, 0].tobytes() in pixels for _, columns in drawn for i in range(2))
    with Image.open(tmp_path / "pictures_in.png") as image:
        assert image.width > 2 * 5 * 96
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["images"]
    assert tags == ["pictures_in/00_red-thing", "pictures_in/01_green-thing", "pictures_in/02_blue-thing"]


def test_it_moves_no_random_stream_of_the_training(classifier, trainer, data):
    def batches(*callbacks):
        torch.manual_seed(0)
        np.random.seed(0)
        trainer(*callbacks, max_epochs=0).fit(classifier, datamodule=data)
        seen = [images.clone() for images, _ in data.train_dataloader()]
        return [*seen, torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1].astype(np.int64))]

    assert all(torch.equal(a, b) for a, b in zip(batches(), batches(PicturesIn()), strict=True))


def test_it_asks_for_a_picture_at_least():
    with pytest.raises(UserError, match=r"callbacks\.pictures_in\.num_images=0"):
        PicturesIn(num_images=0)
