"""The confusion matrix, accuracy by class and calibration."""

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate.callbacks.calibration import Calibration, expected_calibration_error, reliability
from ablate.callbacks.confusion import Confusion, matrix, per_class

COUNTS = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
CLASSES = ["ant", "bee", "never seen"]


def words(figure):
    (axes,) = figure.axes
    return {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}


def test_rows_are_true_classes_and_columns_predicted_ones():
    assert words(matrix(COUNTS, CLASSES)) == {(0, 0): "8", (0, 1): "2", (1, 0): "1", (1, 1): "3"}
    assert words(matrix(COUNTS, CLASSES, rates=True)) == {(0, 0): "80", (0, 1): "20", (1, 0): "25", (1, 1): "75"}
    (axes,) = matrix(COUNTS, CLASSES).axes
    assert axes.get_title("left") == "Confusion: 11 of 14 right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_right_is_blue_and_wrong_is_orange():
    colours = matrix(COUNTS, CLASSES).axes[0].images[0].get_array()
    red, _, blue = colours[0, 0]
    assert blue > red
    red, _, blue = colours[0, 1]
    assert red > blue
    assert (colours[2] == 1).all()


def test_accuracy_by_class_has_the_worst_first_and_leaves_out_what_was_not_tested():
    (axes,) = per_class(COUNTS, CLASSES).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bee  75.0 %", "ant  80.0 %"]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.8]


def test_a_hundred_classes_are_drawn_large_enough_to_read():
    counts, names = np.diag(np.full(100, 90)), [f"class {k}" for k in range(100)]
    for figure in (matrix(counts, names), per_class(counts, names)):
        assert figure.get_size_inches()[1] * figure.dpi > 100 * 15  # pixels a class


def test_calibration_error_of_four_pictures_by_hand():
    # Two pictures of confidence 0.9, one right: off by 0.4. Two of 0.6, both right: off by 0.4. Then both right in one.
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]], dtype=np.float32)
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0.4)
    assert expected_calibration_error(probabilities, np.array([0, 1, 0, 1])) == pytest.approx(0.25)
    upper, _ = reliability(probabilities, np.array([0, 0, 0, 1])).axes
    assert upper.collections[1].get_offsets().tolist() == [pytest.approx([0.6, 1.0]), pytest.approx([0.9, 0.5])]


def test_a_run_leaves_the_pictures_and_the_metric(classifier, trainer, tiny, tmp_path):
    tester = trainer(Confusion(), Calibration())
    tester.test(classifier, datamodule=tiny(), verbose=False)
    assert 0 <= tester.callback_metrics["test/ece"] <= 1
    for name in ("confusion.png", "per_class.png", "calibration.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 200
    board = EventAccumulator(str(tmp_path)).Reload()
    assert board.Tags()["images"] == [
        "calibration/reliability",
        "confusion/counts",
        "confusion/rates",
        "confusion/per_class",
    ]
    curves = [tag for tag in board.Tags()["tensors"] if tag.startswith("precision_recall/")]
    assert curves == [f"precision_recall/{name}" for name in ("red-thing", "green-thing", "blue-thing")]
