import random

import numpy as np
import pytest
import torch

from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.shapes import Shapes
from ablate.data.source import checksum
from ablate.errors import UserError

# Python 3.12 warns of every fork in a process with threads; torch's workers are forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def last():
    return {"normalize": A.Normalize(0.5, 0.25), "tensor": A.ToTensorV2()}


def make(num_workers=0, source=None, test=None, **settings):
    train = {"flip": A.HorizontalFlip(p=0.5), "rotate": A.Rotate(p=0.7), "noise": A.GaussNoise(p=0.5), **last()}
    augmentation = Augmentation(train, (test or {}) | last(), image_size=16)
    source = source or Shapes(60, 10, image_size=16)
    defaults = {"batch_size": 16, "val_fraction": 0.2, "seed": 0}
    return ClassificationData(source, augmentation, num_workers=num_workers, **defaults | settings)


def epochs(data, numbers=(0, 1)):
    """What training gets to see: (images, labels) of every batch, as bytes."""
    loader, seen = data.train_dataloader(), []
    for epoch in numbers:
        loader.batch_sampler.set_epoch(epoch)
        for images, labels in loader:
            assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
            seen.append((images.numpy().tobytes(), labels.numpy().tobytes()))
    return seen


@pytest.fixture
def data():
    made = make()
    made.setup("fit")
    return made


def test_the_parts_are_the_sources_pictures_in_order(data):
    source = Shapes(60, 10, image_size=16)
    for index, pictures in ((data.train_index, data.train_pictures), (data.val_index, data.val_pictures)):
        assert np.array_equal(pictures.pixels, source.train().pixels[index])
        assert np.array_equal(pictures.labels, source.train().labels[index])
    assert sorted([*data.train_index, *data.val_index]) == list(range(60))
    assert len(data.val_index) == 12
    assert (data.classes, data.num_classes, data.image_size) == (source.classes, 4, 16)
    assert data.checksum == checksum(source.train())


def test_the_test_set_is_not_read_before_the_test():
    class Guarded(Shapes):
        reads = 0

        def test(self):
            Guarded.reads += 1
            return super().test()

    data = make(source=Guarded(60, 10, image_size=16))
    data.setup("fit")
    epochs(data)
    list(data.val_dataloader())
    assert not hasattr(data, "test_pictures")
    assert Guarded.reads == 0
    for _ in range(2):
        data.setup("test")
    assert Guarded.reads == 1
    assert np.array_equal(data.test_pictures.pixels, Guarded(60, 10, image_size=16).test().pixels)


def test_another_seed_has_another_split_and_the_same_pictures(data):
    other = make(seed=1)
    other.setup("fit")
    assert not np.array_equal(other.val_index, data.val_index)
    assert other.checksum == data.checksum


def test_batches_are_the_same_for_0_1_2_and_persistent_workers():
    seen = {}
    for num_workers in (0, 1, 2):
        data = make(num_workers)
        data.setup("fit")
        random.seed(num_workers)
        np.random.seed(num_workers)
        torch.manual_seed(num_workers)
        seen[num_workers] = epochs(data, (0, 1, 0))
    assert seen[0] == seen[1] == seen[2]
    first, second, again = seen[0][:3], seen[0][3:6], seen[0][6:]
    assert first == again
    assert len(set(first + second)) == 6


def test_an_epoch_that_was_broken_off_leaves_no_batch_behind():
    data = make(num_workers=1)
    data.setup("fit")
    loader = data.train_dataloader()
    next(iter(loader))
    loader.batch_sampler.set_epoch(1)
    images, _ = next(iter(loader))
    assert images.numpy().tobytes() == epochs(data, (1,))[0][0]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_loaders_draw_nothing_from_the_global_generators(num_workers):
    data = make(num_workers)
    data.setup("fit")
    data.setup("test")

    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = state()
    epochs(data)
    list(data.val_dataloader())
    list(data.test_dataloader())
    assert state() == before


def test_validation_and_test_come_whole_in_order_and_always_alike(data):
    data.setup("test")
    for loader, pictures in (
        (data.val_dataloader(), data.val_pictures),
        (data.test_dataloader(), data.test_pictures),
    ):
        for _ in range(2):
            batches = list(loader)
            assert len(batches) == len(loader) == 1
            assert np.array_equal(torch.cat([images for images, _ in batches]), pictures.pixels)
            assert np.array_equal(torch.cat([labels for _, labels in batches]), pictures.labels)


def test_the_last_validation_batch_may_hold_one_picture(data):
    data.batch_size = 11
    assert [len(labels) for _, labels in data.val_dataloader()] == [11, 1]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_test_side_is_applied_to_validation_and_test(num_workers):
    data = make(num_workers, test={"flip": A.HorizontalFlip(p=1)})
    data.setup("fit")
    ((images, _),) = data.val_dataloader()
    assert np.array_equal(images, data.val_pictures.pixels[:, :, ::-1])


def test_every_rank_trains_on_its_share_and_evaluates_everything(data):
    whole = [labels.tolist() for _, labels in data.train_dataloader()]
    alone = [images for images, _ in data.train_dataloader()]
    shares, pictures = [], []
    for rank in range(2):
        data.trainer = type("Trainer", (), {"global_rank": rank, "world_size": 2})()
        shares.append([labels.tolist() for _, labels in data.train_dataloader()])
        assert sum(len(labels) for _, labels in data.val_dataloader()) == 12
        pictures.append([images for images, _ in data.train_dataloader()])
    for batch, parts in zip(alone, zip(*pictures, strict=True), strict=True):
        assert np.array_equal(batch, np.concatenate(parts)), "a draw of the augmentation depends on the rank"
    for batch, one, other in zip(whole, *shares, strict=True):
        assert one + other == batch
        assert 0 <= len(one) - len(other) <= 1


def test_a_batch_that_is_more_than_there_is():
    data = make(batch_size=64)
    with pytest.raises(
        UserError, match=r"data\.batch_size=64, and there are 48 (.|\n)*\(12 more.*\n.*\n.*batch_size=32"
    ):
        data.setup("fit")


def test_a_batch_of_one_picture():
    with pytest.raises(UserError, match=r"data\.batch_size=1\n.*2 or more"):
        make(batch_size=1)


def test_a_batch_that_leaves_a_device_with_one_picture(data):
    data.trainer = type("Trainer", (), {"global_rank": 0, "world_size": 16})()
    with pytest.raises(UserError, match=r"data\.batch_size=16 on 16 devices\n.*\n.*data\.batch_size=32"):
        data.train_dataloader()


def test_a_class_too_small_to_split_is_called_by_its_name():
    with pytest.raises(UserError, match=r"class triangle"):
        make(val_fraction=0.02).setup("fit")


def test_an_augmentation_for_another_size():
    with pytest.raises(UserError, match=r"pictures of 32 pixels and an augmentation for 16"):
        make(source=Shapes(60, 10, image_size=32))
