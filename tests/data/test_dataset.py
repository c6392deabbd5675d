"""A batch is a function of (seed, epoch, index) alone."""

import random

import numpy as np
import pytest
import torch

from ablate.data.augment import A, Pipeline
from ablate.data.dataset import PictureSet
from ablate.data.source import Pictures
from ablate.errors import UserError

PICTURES = Pictures(
    np.random.default_rng(0).integers(1, 256, (40, 32, 32, 3), dtype=np.uint8), np.arange(40, dtype=np.int64) % 4
)


def assignment():
    return {
        "pad": A.PadIfNeeded(36, 36, fill=0),
        "crop": A.RandomCrop(32, 32),
        "rotate": A.Rotate(limit=15, p=0.7),
        "flip": A.HorizontalFlip(p=0.5),
        "cutout": A.CoarseDropout((2, 2), (8, 8), (8, 8), fill=0, p=1),
        "noise": A.GaussNoise(p=0.5),
    }


def dataset(transforms=None, seed=0, pictures=PICTURES):
    return PictureSet(
        pictures, Pipeline("augmentation.train", assignment() if transforms is None else transforms), seed
    )


def images(places, **kwargs):
    return dataset(**kwargs).__getitems__(places)[0]


def test_batches_are_uint8_in_the_order_that_was_asked_for():
    found, labels = dataset({}).__getitems__([(0, 5), (0, 2), (3, 5)])
    assert found.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.tolist() == [1, 2, 1]
    assert np.array_equal(found.numpy(), PICTURES.pixels[[5, 2, 5]])
    image, label = dataset({})[0, 5]
    assert torch.equal(image, found[0])
    assert label == 1


def test_a_picture_does_not_depend_on_the_batch_around_it_nor_on_what_was_drawn_before():
    places = [(1, index) for index in range(40)]
    together, one = images(places), dataset()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    for place in places[::-1]:
        assert torch.equal(one[place][0], together[place[1]])


def test_every_epoch_every_picture_and_every_seed_has_its_own_draws():
    same = Pictures(np.repeat(PICTURES.pixels[:1], 40, 0), PICTURES.labels)  # forty times one picture
    seen = {
        image.numpy().tobytes()
        for seed in (0, 1)
        for epoch in (0, 1, 2)
        for image in images([(epoch, index) for index in range(40)], seed=seed, pictures=same)
    }
    assert len(seen) == 2 * 3 * 40


def test_the_pictures_themselves_stay_as_they_are():
    class InPlace(A.ImageOnlyTransform):
        def apply(self, img, **params):
            img[:] = 0
            return img

    before = PICTURES.pixels.copy()
    assert images([(0, 1), (0, 2)], transforms={"bad": InPlace(p=1)}).max() == 0
    assert np.array_equal(PICTURES.pixels, before)


def test_two_sets_that_share_a_pipeline_do_not_disturb_each_other():
    pipeline, places = Pipeline("augmentation.train", assignment()), [(0, index) for index in range(8)]
    one, other = PictureSet(PICTURES, pipeline, 0), PictureSet(PICTURES, pipeline, 1)
    expected = one.__getitems__(places)[0], other.__getitems__(places)[0]
    for _ in range(2):
        assert torch.equal(one.__getitems__(places)[0], expected[0])
        assert torch.equal(other.__getitems__(places)[0], expected[1])


def test_a_size_that_comes_up_once_in_a_while_is_refused_and_never_broadcast():
    class Once(A.ImageOnlyTransform):
        def apply(self, img, **params):
            return img[:1] if img[0, 0, 0] == 77 else img

    odd = Pictures(np.full((4, 32, 32, 3), 77, np.uint8), np.arange(4))
    with pytest.raises(UserError, match=r"augmentation\.train makes pictures 32 x 1 .*\n.*32 x 32"):
        images([(0, 1)], transforms={"once": Once(p=1)}, pictures=odd)


def test_the_decisions_of_different_transforms_are_uncorrelated_and_as_frequent_as_asked():
    # Red holds the column and green the row, so that a picture tells what was done to it.
    count = 3000
    told = np.zeros((count, 32, 32, 3), np.uint8)
    told[..., 0], told[..., 1] = np.arange(32)[None, :], np.arange(32)[:, None]
    transforms = {
        "flip": A.HorizontalFlip(p=0.5),
        "up": A.VerticalFlip(p=0.5),
        "cutout": A.CoarseDropout((1, 1), (4, 4), (4, 4), fill=200, p=0.7),
    }
    places, pictures = [(0, index) for index in range(count)], Pictures(told, np.arange(count))
    found = images(places, transforms=transforms, pictures=pictures).numpy()
    cut = found[..., 2] == 200
    flipped = (found[..., 0].astype(int) * ~cut)[:, :, :16].max((1, 2)) > 15
    upside = (found[..., 1].astype(int) * ~cut)[:, :16].max((1, 2)) > 15
    decisions = np.column_stack([flipped, upside, cut.any((1, 2))]).astype(float)
    np.testing.assert_allclose(decisions.mean(0), [0.5, 0.5, 0.7], atol=4 * 0.5 / np.sqrt(count))
    within = np.corrcoef(decisions, rowvar=False) - np.eye(3)
    following = np.corrcoef(np.column_stack([decisions[:-1], decisions[1:]]), rowvar=False)[:3, 3:]
    assert np.abs([within, following]).max() < 4 / np.sqrt(count)
