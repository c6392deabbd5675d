import numpy as np
import pytest

from ablate.data.shapes import Shapes, draw_pictures, shape_mask
from ablate.data.source import checksum
from ablate.errors import UserError

SHAPES = Shapes(400, 80)


def inside(pictures, boxes):
    for image, (x0, y0, x1, y1) in zip(pictures.pixels, boxes, strict=True):
        yield image[y0:y1, x0:x1]


def test_sets_are_of_the_sizes_asked_for_and_balanced():
    assert SHAPES.train().pixels.shape == (400, 32, 32, 3)
    assert SHAPES.test().pixels.shape == (80, 32, 32, 3)
    assert np.bincount(SHAPES.train().labels).tolist() == [100] * 4
    assert sorted(np.bincount(Shapes(41, 4).train().labels)) == [10, 10, 10, 11]
    assert SHAPES.boxes("train").shape == (400, 4)
    assert SHAPES.boxes("test").shape == (80, 4)


def test_the_pictures_depend_on_the_seed_alone():
    assert checksum(Shapes(400, 80).train()) == checksum(SHAPES.train())
    assert checksum(Shapes(400, 80).test()) == checksum(SHAPES.test())
    assert checksum(Shapes(400, 80, seed=1).train()) != checksum(SHAPES.train())
    assert checksum(Shapes(80, 80).train()) != checksum(SHAPES.test()), "the two sets share no picture"


def test_the_class_cannot_be_told_from_outside_the_box():
    # The same draws for other classes: pixel by pixel the same, outside of the boxes.
    labels = np.arange(60) % 4
    one, boxes = draw_pictures(labels, 32, np.random.default_rng(0))
    other, same_boxes = draw_pictures((labels + 1) % 4, 32, np.random.default_rng(0))
    assert np.array_equal(boxes, same_boxes)
    outside = np.ones((60, 32, 32), bool)
    for mask, (x0, y0, x1, y1) in zip(outside, boxes, strict=True):
        mask[y0:y1, x0:x1] = False
    assert np.array_equal(one.pixels[outside], other.pixels[outside])
    for before, after in zip(inside(one, boxes), inside(other, boxes), strict=True):
        assert not np.array_equal(before, after)


@pytest.mark.parametrize("image_size", [16, 32, 48])
def test_the_box_is_the_smallest_around_the_shape_and_within_the_picture(image_size):
    shapes = Shapes(60, 4, image_size=image_size)
    boxes = shapes.boxes("train")
    assert boxes.min() >= 0
    assert boxes.max() <= image_size
    sides = np.column_stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])
    assert np.array_equal(sides[:, 0], sides[:, 1])
    assert (sides.min(), sides.max()) == (image_size // 4, image_size // 2)
    for box in inside(shapes.train(), boxes):
        mean = box.astype(int).mean(-1)
        shape = (mean < 55) | (mean > 200)  # darker or lighter than any ground
        assert shape[0].any()
        assert shape[-1].any()
        assert shape[:, 0].any()
        assert shape[:, -1].any()


def test_the_four_shapes_by_eye():
    drawn = {
        0: ["..###..", ".#####.", "#######", "#######", "#######", ".#####.", "..###.."],
        1: ["#######"] * 7,
        2: ["...#...", "..###..", "..###..", ".#####.", ".#####.", "#######", "#######"],
        3: ["..###..", "..###..", "#######", "#######", "#######", "..###..", "..###.."],
    }
    for label, rows in drawn.items():
        assert ["".join(".#"[int(bit)] for bit in row) for row in shape_mask(label, 7)] == rows


def test_the_shape_of_the_class_is_in_the_box_and_nothing_else_is():
    pictures, boxes = SHAPES.train(), SHAPES.boxes("train")
    for box, label in zip(inside(pictures, boxes), pictures.labels, strict=True):
        mean, expected = box.astype(int).mean(-1), shape_mask(int(label), len(box))
        assert np.array_equal((mean < 55) | (mean > 200), expected)


def test_a_picture_too_small_for_shapes():
    with pytest.raises(UserError, match=r"data\.image_size=8\n.*at least 16 .*\n.*data\.image_size=32"):
        Shapes(10, 10, image_size=8)
