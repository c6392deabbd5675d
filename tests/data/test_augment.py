import os
import subprocess
import sys

import numpy as np
import pytest

from ablate.data.augment import A, Augmentation
from ablate.errors import UserError
from ablate.streams import MovingStream, Stream


def normalize(**settings):
    return {"normalize": A.Normalize(**{"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)} | settings)}


class Unseeded(A.ImageOnlyTransform):
    def apply(self, img, **params):
        return np.random.permutation(img)


class Mean(A.ImageOnlyTransform):
    """Remembers earlier pictures."""

    last = 0

    def apply(self, img, **params):
        Mean.last = Mean.last + 1
        return img // 2 + np.uint8(Mean.last % 100)


def test_the_last_transforms_are_left_to_the_device_wherever_they_are_listed():
    flip, tensor = A.HorizontalFlip(p=1), A.ToTensorV2()
    augmentation = Augmentation({"tensor": tensor, **normalize(), "flip": flip}, normalize() | {"tensor": tensor})
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(augmentation.train(picture), picture[:, ::-1])
    assert augmentation.test(picture) is picture
    assert (len(augmentation.train), len(augmentation.test)) == (1, 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"mean": (0.4914, 0.4822, 0.4465), "std": (0.247, 0.2435, 0.2616)},
        {"mean": 0.5, "std": 0.25},
        {"mean": (127.5, 100.0, 90.0), "std": (60.0, 50.0, 40.0), "max_pixel_value": 1.0},
    ],
)
def test_mean_and_std_do_what_normalize_does(settings):
    augmentation = Augmentation(normalize(**settings), normalize(**settings))
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = A.Normalize(**settings)(image=picture)["image"]
    found = (picture / 255 - augmentation.mean) / augmentation.std
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_order_is_kept():
    flip, pad, crop = A.HorizontalFlip(p=1), A.PadIfNeeded(40, 40, position="top_left", fill=0), A.CenterCrop(32, 32)
    one = Augmentation({"pad": pad, "flip": flip, "crop": crop, **normalize()}, normalize())
    other = Augmentation({"flip": flip, "pad": pad, "crop": crop, **normalize()}, normalize())
    picture = np.random.default_rng(0).integers(1, 256, (32, 32, 3), dtype=np.uint8)
    # Padded at the right to 40, mirrored, and 4 columns cut off each side; or mirrored before it is padded.
    dark = [np.flatnonzero(each.train(picture)[0, :, 0] == 0).tolist() for each in (one, other)]
    assert dark == [[0, 1, 2, 3], [28, 29, 30, 31]]


PLAIN = normalize()
ERRORS = {
    "no Normalize": ({}, PLAIN, r"augmentation\.train has no Normalize\n.*exactly one\n.*\+augmentation\.train"),
    "no Normalize for the test": (PLAIN, {}, r"augmentation\.test has no Normalize"),
    "two": (
        PLAIN | {"again": A.Normalize()},
        PLAIN,
        r"2 Normalize: normalize, again(.|\n)*~aug.*train\.again",
    ),
    "two means": (
        normalize(mean=0.4),
        PLAIN,
        r"train normalises to mean \(0\.4, 0\.4, 0\.4\).*test to mean \(0\.5",
    ),
    "of the picture": (
        normalize(normalization="image"),
        PLAIN,
        r"train\.normalize\.normalization=image\n.*standard",
    ),
    "at times": (normalize(p=0.5), PLAIN, r"augmentation\.train\.normalize\.p=0\.5\n"),
    "never": (normalize(p=0), PLAIN, r"augmentation\.train\.normalize has p 0"),
    "std below 0": (normalize(std=-1.0), PLAIN, r"augmentation\.train\.normalize has p 1, std -1\.0"),
    "two channels": (normalize(mean=(0.5, 0.5)), PLAIN, r"train\.normalize has mean \(0\.5, 0\.5\)"),
    "floats": ({"f": A.ToFloat()} | PLAIN, PLAIN, r"augmentation\.train\.f returns float32"),
    "floats inside": ({"o": A.OneOf([A.ToFloat(), A.NoOp()])} | PLAIN, PLAIN, r"train\.o returns float32"),
    "tensor inside": ({"s": A.Sequential([A.ToTensorV2()])} | PLAIN, PLAIN, r"train\.s returns torch\.uint8"),
    "one channel": ({"g": A.ToGray(1, p=1)} | PLAIN, PLAIN, r"train\.g returns uint8 of shape \(32, 32\)"),
    "small": (
        {"c": A.RandomCrop(28, 24)} | PLAIN,
        PLAIN,
        r"train makes pictures 24 x 28 \(width x height\)\n.*32",
    ),
    "any size": ({"r": A.RandomScale(p=1)} | PLAIN, PLAIN, r"augmentation\.train makes pictures \d+ x \d+"),
    "at times small": ({"c": A.RandomCrop(28, 28, p=0.3)} | PLAIN, PLAIN, r"train makes pictures 28 x 28"),
    "large": ({"c": A.RandomCrop(36, 36)} | PLAIN, PLAIN, r"augmentation\.train\.c fails with CropSizeError"),
    "masks": ({"m": A.MaskDropout()} | PLAIN, PLAIN, r"augmentation\.train\.m: MaskDropout needs mask\n"),
    "others": ({"m": A.Mosaic()} | PLAIN, PLAIN, r"augmentation\.train\.m: Mosaic needs mosaic_metadata"),
    "3D": ({"m": A.CoarseDropout3D()} | PLAIN, PLAIN, r"CoarseDropout3D does not work on single pictures"),
    "a number": ({"x": 3} | PLAIN, PLAIN, r"augmentation\.train\.x is 3\n.*\n.*~augmentation\.train\.x"),
    "nothing": ({"x": None} | PLAIN, PLAIN, r"augmentation\.train\.x is None\n"),
    "unseeded": ({"u": Unseeded(p=1)} | PLAIN, PLAIN, r"train\.u returns different pictures for equal seeds"),
    "memory": ({"m": Mean(p=1)} | PLAIN, PLAIN, r"train\.m returns different pictures for equal seeds"),
    "test at times": (PLAIN, PLAIN | {"f": A.HorizontalFlip()}, r"augmentation\.test\.f\.p=0\.5\n.*0 or 1"),
    "test random": (PLAIN, {"c": A.RandomSizedCrop((20, 32), (32, 32))} | PLAIN, r"test\.c is random\n"),
    "test one of": (
        PLAIN,
        {"o": A.OneOf([A.HorizontalFlip(p=1), A.NoOp(p=1)])} | PLAIN,
        r"test\.o(\.p=0\.5|)",
    ),
    "test size": (PLAIN, {"c": A.CenterCrop(30, 30)} | PLAIN, r"augmentation\.test makes pictures 30 x 30"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_pipeline_that_cannot_be_is_refused(name):
    train, test, message = ERRORS[name]
    with pytest.raises(UserError, match=message):
        Augmentation(train, test, image_size=32)


def test_an_argument_that_albumentations_only_warns_of_is_an_error():
    with pytest.warns(UserWarning, match="max_holes"):
        cutout = A.CoarseDropout(max_holes=2)
    with pytest.raises(UserError, match=r"train\.c\.max_holes is no argument of CoarseDropout\n.*num_holes_range"):
        Augmentation({"c": cutout, **normalize()}, normalize())


def test_all_that_can_be_seen_without_trying_is_said_at_once():
    with pytest.raises(UserError, match="5 errors"):
        Augmentation({"x": 3, "m": A.MaskDropout()}, {"n": A.Normalize(normalization="image"), "f": A.HorizontalFlip()})


def test_a_deterministic_test_side_may_hold_more():
    enlarged = {"crop": A.CenterCrop(24, 24), "resize": A.Resize(32, 32), "flip": A.HorizontalFlip(p=1)}
    assert len(Augmentation(normalize(), enlarged | normalize()).test) == 3


def test_pictures_of_another_size():
    crop = {"pad": A.PadIfNeeded(72, 72), "crop": A.RandomCrop(64, 64)}
    assert Augmentation(crop | normalize(), normalize(), image_size=64).image_size == 64
    with pytest.raises(UserError, match=r"makes pictures 64 x 64 .*\n.*32 x 32, as data\.image_size"):
        Augmentation(crop | normalize(), normalize(), image_size=32)


def test_a_failure_in_training_names_the_transform():
    class Picky(A.ImageOnlyTransform):
        def apply(self, img, **params):
            if img[0, 0, 0] == 77:
                raise ValueError("not this one")
            return img

    augmentation = Augmentation({"picky": Picky(p=1), **normalize()}, normalize())
    with pytest.raises(UserError, match=r"augmentation\.train\.picky fails with ValueError: not this one"):
        augmentation.train(np.full((32, 32, 3), 77, np.uint8))


def test_trying_a_pipeline_moves_no_stream():
    stream = MovingStream(0, Stream.AUGMENT)
    stream.move_to(0, 0)
    expected = stream.numpy.random(), stream.python.random()
    stream.move_to(0, 0)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    Augmentation({"noise": A.GaussNoise(p=1), "flip": A.HorizontalFlip(), **normalize()}, normalize())
    assert (stream.numpy.random(), stream.python.random()) == expected
    assert np.array_equal(np.random.get_state()[1], before)


def test_importing_it_asks_no_package_index_and_stops_the_threads_of_opencv():
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): sys.exit('asked the network')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "import ablate.data.augment, cv2, os\n"
        "sys.exit(f'{cv2.getNumThreads()} threads' if cv2.getNumThreads() > 1 else 0)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
