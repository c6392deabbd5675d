import subprocess
import sys

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from ablate.data.digits import Digits
from ablate.data.source import checksum


def test_the_two_sets_hold_the_published_number_of_digits():
    digits = Digits()
    train, test = digits.train(), digits.test()
    assert train.pixels.shape == (1437, 32, 32, 3)
    assert test.pixels.shape == (360, 32, 32, 3)
    assert train.pixels.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert np.bincount(test.labels).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    assert np.bincount(train.labels).tolist() == [142, 145, 142, 146, 145, 146, 145, 143, 139, 144]


def test_the_test_set_is_the_same_for_ever():
    digits = Digits(8)  # as published: no resizing, whose rounding may change between versions of Pillow
    assert checksum(digits.test()).startswith("f4bbf5b253fe15e9")
    assert checksum(digits.train()).startswith("c47dbb6089e8a6bc")


def test_every_digit_is_in_one_of_the_sets_with_its_own_label():
    content = load_digits()
    published = sorted(
        (*image.ravel().astype(int), label) for image, label in zip(content.images, content.target, strict=True)
    )
    ours = []
    for pixels, labels in (Digits(8).train(), Digits(8).test()):
        assert np.array_equal(pixels[..., 0], pixels[..., 1])
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
        levels = np.rint(pixels[..., 0].astype(int) * 16 / 255).astype(int)
        ours += [(*image.ravel(), label) for image, label in zip(levels, labels, strict=True)]
    assert sorted(ours) == published


def test_levels_of_0_to_16_become_0_to_255():
    pixels = Digits(8).train().pixels
    assert sorted(np.unique(pixels)) == [round(level * 255 / 16) for level in range(17)]


def test_test_digits_come_from_all_parts_of_the_file():
    content = load_digits()
    pixels, _ = Digits(8).test()
    keys = {image.tobytes(): number for number, image in enumerate(np.rint(content.images * 255 / 16).astype(np.uint8))}
    places = np.array([keys[np.ascontiguousarray(image[..., 0]).tobytes()] for image in pixels])
    assert np.bincount(places * 12 // 1797).min() >= 20  # of 30 in each twelfth


def test_pictures_are_enlarged_to_any_size():
    small, large = Digits(8).test().pixels, Digits(64).test().pixels
    assert large.shape == (360, 64, 64, 3)
    shrunk = np.stack([np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)) for image in large])
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.97


def test_digits_come_without_importing_scikit_learn_and_the_same_where_its_file_has_moved(monkeypatch):
    code = "import sys; from ablate.data.digits import Digits; Digits().test(); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    expected = checksum(Digits(8).train())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert checksum(Digits(8).train()) == expected
