"""Pictures: what is drawn where, in which colour, and that nothing is cut off or left behind."""

import numpy as np
import pytest
from PIL import Image

from ablate.explain.canvas import INK, Span, below, beside, font, line, paragraph, shortened
from ablate.explain.gallery import gallery
from ablate.explain.overlay import cells, overlay
from ablate.explain.panel import enlarged, number, panel, sheet
from ablate.explain.shown import Shown, shared_scale

CLASSES = ("airplane", "a class of a very long and tedious name that no panel can hold", "ship")
RNG = np.random.default_rng(0)


def shown(label, probabilities=(0.2, 0.7, 0.1), classes=(1,), size=32, peak=1.0):
    maps = {
        f"layer{i}": peak * RNG.normal(size=(size >> i, size >> i)).astype(np.float32).clip(max=1) for i in range(1, 5)
    }
    pixels = RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Shown(pixels, label, np.array(probabilities, dtype=np.float32), dict.fromkeys(classes, maps))


def is_drawn(image, box):
    return np.asarray(image.crop(box)).min() < 255


def test_boxes_stand_beside_and_below_each_other():
    a, b = Image.new("RGB", (10, 4), "#000000"), Image.new("RGB", (6, 8), "#ff0000")
    assert beside([a, b], gap=3).size == (19, 8)
    assert beside([a, b], gap=3).getpixel((13, 7)) == (255, 0, 0)
    assert beside([a, b], gap=3).getpixel((11, 0)) == (255, 255, 255)
    assert below([a, b], gap=1).size == (10, 13)
    assert below([a, b], gap=1).getpixel((0, 5)) == (255, 0, 0)


def test_text_that_is_too_long_ends_in_an_ellipsis_and_stays_inside():
    face = font(12)
    text = shortened(CLASSES[1], 100, face)
    assert text.endswith("…")
    assert face.getlength(text) <= 100
    assert shortened("ship", 100, face) == "ship"
    assert shortened("ship", -5, face) == ""


def test_the_end_of_a_line_is_kept_whole():
    short, long = (line(160, Span(name, INK, True), end="max 0.123") for name in ("x", CLASSES[1]))
    tail = (160 - round(font(12).getlength("max 0.123")), 0, 160, 18)
    assert np.array_equal(np.asarray(short.crop(tail)), np.asarray(long.crop(tail)))
    assert is_drawn(short, tail)


def test_a_paragraph_breaks_between_words():
    assert paragraph(200, "one two").height == 18
    assert paragraph(200, " ".join(["word"] * 20)).height >= 3 * 18


def test_the_overlay_is_the_bare_grey_picture_where_there_is_no_evidence_and_bright_where_it_is_most():
    pixels = np.full((4, 4, 3), (200, 40, 40), dtype=np.uint8)
    evidence = np.array([[-5, 0], [0, 8]], dtype=np.float32)
    image = np.asarray(overlay(pixels, evidence, 8.0, (160, 160)), dtype=int)
    grey = round(0.299 * 200 + 0.587 * 40 + 0.114 * 40)
    assert np.abs(image[:40, :40] - grey).max() <= 1
    red, green, blue = image[-1, -1]
    assert red > 180  # inferno's top is yellow
    assert green > 180
    assert blue < 160


def test_a_map_without_positive_evidence_is_drawn_empty():
    pixels, size = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8), (80, 80)
    none, zero = (np.full((2, 2), value, dtype=np.float32) for value in (-3, 0))
    assert np.array_equal(overlay(pixels, none, -3.0, size), overlay(pixels, zero, 5.0, size))
    assert np.array_equal(cells(none, -3.0, size), cells(zero, 5.0, size))


def test_cells_are_flat_squares_between_seams():
    image = np.asarray(cells(np.array([[0, 1], [2, 4]], dtype=np.float32), 4.0, (80, 80)))
    inside = [image[y + 3 : y + 37, x + 3 : x + 37].reshape(-1, 3) for y in (0, 40) for x in (0, 40)]
    assert all((cell == cell[0]).all() for cell in inside)
    brightness = [int(cell[0].sum()) for cell in inside]
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == 4
    assert (image[:, 40] == image[0, 40]).all()  # the seam


def test_a_small_picture_is_enlarged_by_a_whole_number():
    sizes = {side: enlarged(np.zeros((side, side, 3), dtype=np.uint8))[0] for side in (8, 28, 32, 64, 96, 224)}
    assert sizes == {8: 152, 28: 140, 32: 160, 64: 128, 96: 192, 224: 224}


@pytest.mark.parametrize("label", [0, 1, None])
def test_a_panel_has_a_row_for_each_class_asked_for(label):
    one, two = (panel(shown(label, classes=classes), CLASSES, "epoch 4 · gradcam") for classes in ((1,), (1, 0)))
    assert one.width == two.width == 5 * 160 + 4 * 8 + 2 * 8
    assert two.height - one.height > 2 * 160
    assert is_drawn(one, (8, 8, 60, 30))  # what it is
    assert is_drawn(one, (700, 8, 848, 30))  # the note


def test_more_classes_than_the_panel_lists_still_show_the_label():
    probabilities = (0.5, 0.3, 0.15, 0.04, 0.01)
    names = ("a", "b", "c", "d", "e")
    with_it = panel(shown(4, probabilities), names)
    without = panel(shown(None, probabilities), names)
    assert with_it.size == without.size


def test_a_shared_scale_holds_the_largest_value_of_each_layer():
    some = [shown(0, peak=peak) for peak in (0.1, 5.0)]
    scale = shared_scale(some)
    assert scale == {layer: pytest.approx(some[1].evidence[1][layer].max()) for layer in scale}
    faint, alone = (np.asarray(panel(some[0], CLASSES, scale=given)) for given in (scale, None))
    assert not np.array_equal(faint, alone)


def test_panels_fill_the_shorter_column():
    tall, low = Image.new("RGB", (100, 300)), Image.new("RGB", (100, 100))
    assert sheet([tall, low, low, low]).size == (208, 316)
    assert sheet([low]).size == (100, 100)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.2345, "1.23"), (0.00123, "0.00123"), (0.000456, "4.6e-04"), (123.4, "123"), (98765, "9.9e+04")],
)
def test_a_number_has_three_digits_and_room(value, text):
    assert number(value) == text


def test_the_gallery_says_how_many_mistakes_there_are():
    tiles = [(i, shown(0)) for i in range(7)]
    seven, one = gallery(tiles, CLASSES, "layer4", 7, 100), gallery(tiles[:1], CLASSES, "layer4", 1, 100)
    assert seven.width == one.width == 5 * 128 + 4 * 16 + 2 * 16
    assert seven.height > one.height > gallery([], CLASSES, "layer4", 0, 100).height > 30


def test_no_figure_is_left_in_pyplot():
    from matplotlib import pyplot

    panel(shown(0), CLASSES)
    assert pyplot.get_fignums() == []
