"""The checks of the trust card: each on cases whose answer is known."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ablate.explain.cascade import cascade, rank_correlation
from ablate.explain.checks import Subject, adds_up
from ablate.explain.interval import mean_interval
from ablate.explain.pointing import grid_pointing, mosaics_of, points_inside
from ablate.explain.road import ranks, road
from ablate.explain.trust import assess
from ablate.explain.trust_picture import draw

NUM_CLASSES = 4


class ColourNet(nn.Module):
    """Four classes, each a colour; the logit of a class is the mean of its own feature map, and nothing else."""

    def __init__(self, gain: float = 20.0) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, NUM_CLASSES, 1), nn.ReLU(), nn.AvgPool2d(4))
        colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [0.5, 0.5, -2]])
        self.layer1[0].weight.data, self.layer1[0].bias.data = colours[:, :, None, None], torch.full((4,), -0.3)
        self.fc = nn.Linear(NUM_CLASSES, NUM_CLASSES)
        self.fc.weight.data, self.fc.bias.data = gain * torch.eye(NUM_CLASSES), torch.zeros(NUM_CLASSES)

    def forward(self, x):
        return self.fc(self.layer1(x).mean(dim=(2, 3)))


@pytest.fixture
def scene():
    """32 pictures (N, 3, 32, 32) of a red, green, blue or yellow square on grey noise, their labels and boxes."""
    rng = np.random.default_rng(0)
    labels = np.arange(32) % NUM_CLASSES
    images = rng.normal(0, 0.05, (32, 3, 32, 32)).astype(np.float32)
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=np.float32)
    corners = rng.integers(0, 20, (32, 2))
    for image, label, (y, x) in zip(images, labels, corners, strict=True):
        image[:, y : y + 12, x : x + 12] += colours[label][:, None, None]
    boxes = np.stack([corners[:, 1], corners[:, 0], corners[:, 1] + 12, corners[:, 0] + 12], axis=1)
    return torch.from_numpy(images), labels, boxes


def test_rank_correlation_by_hand():
    one = np.array([[[1.0, 2], [3, 4]]] * 4, dtype=np.float32)
    other = np.array([[[1, 2], [3, 9]], [[4, 3], [2, 1]], [[2, 1], [3, 4]], [[5, 5], [5, 5]]], dtype=np.float32)
    # The same order; the reverse; two neighbours swapped: 1 - 6 * (1 + 1) / (4 * 15); a flat map.
    np.testing.assert_allclose(rank_correlation(one, other), [1, -1, 0.8, 0])


def test_interval_by_hand():
    # Mean 2, standard error sqrt(1 / 3); t(0.975, 2 degrees of freedom) = 4.3027.
    found = mean_interval([1, 2, 3])
    assert found == pytest.approx((2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5, 3), abs=1e-4)


def test_ranks_break_ties_at_random_and_keep_the_order():
    rank = ranks(np.array([[[0, 0, 0, 0], [7, -1, 0, 9]]], dtype=np.float32)) * 8
    assert sorted(rank.ravel().tolist()) == list(range(8))
    assert (rank[0, 1, 1], rank[0, 1, 0], rank[0, 1, 3]) == (0, 6, 7)
    assert not np.array_equal(rank, ranks(np.array([[[0, 0, 0, 0], [7, -1, 0, 9]]]), seed=1) * 8)


def test_a_maximum_is_inside_its_box_or_not():
    maps = np.zeros((3, 4, 4), dtype=np.float32)
    maps[:, 1, 2] = 1  # the cell of pixels x 16..23, y 8..15, its middle at x 20, y 12
    boxes = np.array([[16, 8, 24, 16], [0, 0, 16, 32], [20, 0, 32, 11]])
    assert points_inside(maps, boxes, (32, 32)).tolist() == [True, False, False]


def test_mosaics_hold_four_classes_and_use_no_picture_twice(scene):
    images, labels, _ = scene
    mosaics, classes = mosaics_of(images, labels, np.random.default_rng(0))
    assert mosaics.shape == (8, 3, 64, 64)
    assert all(sorted(row) == [0, 1, 2, 3] for row in classes.tolist())
    quarters = [m[:, y : y + 32, x : x + 32] for m in mosaics for y in (0, 32) for x in (0, 32)]
    which = [next(i for i in range(32) if torch.equal(images[i], quarter)) for quarter in quarters]
    assert sorted(which) == list(range(32))
    assert labels[which].tolist() == classes.ravel().tolist()


def test_three_classes_make_no_mosaic_of_four(scene):
    images, labels, _ = scene
    assert len(mosaics_of(images, labels % 3, np.random.default_rng(0))[0]) == 0


def test_grid_pointing_is_near_one_for_a_network_that_sees_colours_and_a_quarter_for_one_that_sees_nothing(scene):
    images, labels, _ = scene
    mosaics, classes = mosaics_of(images, labels, np.random.default_rng(0))
    assert grid_pointing(ColourNet(), mosaics, classes, "layer1").min() > 0.9  # yellow is half seen in red
    np.testing.assert_allclose(grid_pointing(ColourNet(gain=0), mosaics, classes, "layer1"), 0.25)


def test_a_seam_may_run_through_the_middle_of_cells():
    parts = OrderedDict(layer=nn.AvgPool2d(20, stride=22), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())
    net = nn.Sequential(OrderedDict(**parts, fc=nn.Linear(3, 4)))
    net.fc.weight.data.fill_(1.0)
    mosaics, classes = torch.ones(2, 3, 64, 64), np.array([[0, 1, 2, 3]] * 2)
    np.testing.assert_allclose(grid_pointing(net, mosaics, classes, "layer"), 0.25, rtol=1e-6)  # 3 x 3 equal cells


def test_road_prefers_the_pixels_that_matter_and_touches_no_generator(scene):
    images, labels, boxes = (each[:8] for each in scene)
    inside = np.zeros((8, 32, 32), dtype=np.float32)
    for one, (x0, y0, x1, y1) in zip(inside, boxes, strict=True):
        one[y0:y1, x0:x1] = 1
    net = ColourNet()
    before = torch.get_rng_state()
    good = road(net, images, labels.tolist(), inside)
    bad = road(net, images, labels.tolist(), 1 - inside)
    assert torch.equal(torch.get_rng_state(), before)
    assert good.min() > 0.05
    assert bad.max() < -0.05
    assert np.array_equal(good, road(net, images, labels.tolist(), inside))


def test_the_cascade_runs_from_the_head_down_and_leaves_the_network_alone(scene):
    images, labels, _ = scene
    net = ColourNet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = cascade(net, images, labels.tolist(), "layer1")
    assert list(found) == ["fc", "layer1"]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    # EigenCAM does not ask the head: its maps stay until the layer itself is random.
    assert cascade(net, images, labels.tolist(), "layer1", "eigencam")["fc"].low > 0.99


def test_a_network_that_looks_at_the_evidence_passes_every_check(scene):
    images, labels, boxes = scene
    net = ColourNet()
    rng = torch.get_rng_state()
    card = assess(net, images, labels, "layer1", boxes=boxes)
    assert torch.equal(rng, torch.get_rng_state())
    found = {check.name: check.passed for check in card.checks}
    assert found.pop("randomisation") is not None  # two layers are too few to say which way it goes
    assert found == {"completeness": True, "road": True, "grid pointing": True, "pointing game": True}
    json.dumps(card.plain(), allow_nan=False)
    assert card.plain()["checks"]["pointing game"]["own"]["mean"] > 0.95
    assert draw(card).width < 1000


def test_the_verdict_says_what_fails_and_what_that_means(scene):
    images, labels, _ = scene
    card = assess(ColourNet(), images, labels, "layer1", "eigencam")
    assert {check.name: check.passed for check in card.checks}["completeness"] is None
    assert {check.name: check.passed for check in card.checks}["randomisation"] is False
    assert card.verdict.startswith("eigencam at layer1 fails ")
    assert all((check.means in card.verdict) == (check.passed is False) for check in card.checks if check.means)
    assert "| ✗ | randomisation |" in card.markdown()


def test_a_head_that_is_not_linear_fails_completeness(scene):
    images, labels, _ = scene
    net = ColourNet()
    net.fc = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
    check = adds_up(Subject(net, images, labels, labels, "layer1", "gradcam", 0))
    assert check.passed is False
    assert "miss the logit by up to" in check.says


def test_too_few_pictures_are_said_to_be_too_few(scene):
    images, labels, boxes = (each[:4] for each in scene)
    card = assess(ColourNet(), images, labels, "layer1", "layercam", boxes=boxes)
    assert [check.passed for check in card.checks] == [None] * 5
    assert card.verdict == "layercam at layer1 could not be checked on 4 pictures"
    assert isinstance(draw(card), Image.Image)
