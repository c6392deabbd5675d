import hashlib

import numpy as np

from ablate.data.source import Pictures, checksum

PICTURES = Pictures(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), np.array([1, 0]))


def test_a_checksum_worked_out_by_hand():
    text = b"(2, 2, 2, 3)" + bytes(range(24)) + b"(2,)" + bytes([1] + [0] * 7 + [0] * 8)
    assert checksum(PICTURES) == hashlib.sha256(text).hexdigest()


def test_a_checksum_sees_pixels_labels_order_and_shape_but_not_memory_layout():
    pixels, labels = PICTURES
    others = [
        Pictures(pixels + 1, labels),
        Pictures(pixels, labels[::-1]),
        PICTURES.take([1, 0]),
        Pictures(pixels.reshape(2, 1, 4, 3), labels),
    ]
    assert len({checksum(PICTURES), *map(checksum, others)}) == 5
    strided = Pictures(np.asfortranarray(pixels), labels.astype(np.int32).astype(np.int64))
    assert checksum(strided) == checksum(PICTURES)


def test_taking_pictures_copies_them():
    taken = PICTURES.take([0])
    taken.pixels[:] = 99
    assert PICTURES.pixels.max() == 23
