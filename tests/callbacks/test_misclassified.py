"""The gallery of mistakes."""

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from ablate.callbacks import misclassified
from ablate.callbacks.misclassified import Misclassified
from ablate.errors import UserError


class Scripted(nn.Module):
    """Gives the logits it was told to, picture by picture in the order of the test set; features for the maps."""

    def __init__(self, logits):
        super().__init__()
        self.layer4 = nn.Conv2d(3, 2, 3, stride=8)
        self.logits, self.next = logits, 0

    def forward(self, x):
        features = self.layer4(x).mean(dim=(2, 3)).sum(1, keepdim=True)
        rows = torch.arange(self.next, self.next + len(x)) % len(self.logits)
        self.next += len(x)
        return self.logits[rows] + 1e-3 * features


def logits(wrong):
    """24 pictures of three classes in turn, right but for `wrong`: number -> (predicted class, margin)."""
    rows = torch.eye(3)[torch.arange(24) % 3] * 2
    for number, (predicted, margin) in wrong.items():
        rows[number] = torch.eye(3)[predicted] * margin
    return rows


def examined(callback, classifier, trainer, tiny, wrong):
    classifier.net = Scripted(logits(wrong))
    trainer(callback).test(classifier, datamodule=tiny(), verbose=False)


@pytest.fixture
def drawn(monkeypatch):
    """The arguments that the gallery is drawn from."""
    seen, real = [], misclassified.gallery
    monkeypatch.setattr(misclassified, "gallery", lambda *given: (seen.append(given), real(*given))[1])
    return seen


def test_the_most_confident_mistakes_come_first_and_the_others_are_counted(classifier, trainer, tiny, drawn):
    wrong = {0: (1, 3.0), 4: (0, 5.0), 5: (0, 1.0), 17: (1, 4.0), 23: (0, 2.0)}
    examined(Misclassified(num_images=3), classifier, trainer, tiny, wrong)
    ((pairs, classes, layer, num_wrong, num_tested),) = drawn
    assert [number for number, _ in pairs] == [4, 17, 0]
    assert [(shown.label, *shown.evidence) for _, shown in pairs] == [(1, 0), (2, 1), (0, 1)]
    assert (layer, num_wrong, num_tested, len(classes)) == ("layer4", 5, 24, 3)
    assert all(np.array_equal(shown.pixels, tiny().test_pictures.pixels[number]) for number, shown in pairs)


@pytest.mark.parametrize(("num_wrong", "rows"), [(0, 0), (1, 1), (6, 2)])
def test_few_mistakes_or_none_are_drawn_at_full_width(classifier, trainer, tiny, tmp_path, num_wrong, rows):
    wrong = {number: ((number + 1) % 3, 3.0) for number in range(num_wrong)}
    examined(Misclassified(), classifier, trainer, tiny, wrong)
    with Image.open(tmp_path / "misclassified.png") as image:
        assert image.width == 5 * 128 + 4 * 16 + 2 * 16
        assert image.height > rows * 2 * 128
        assert image.height < (rows + 1) * 2 * 128
    board = EventAccumulator(str(tmp_path)).Reload()
    assert board.Tags()["images"] == ["misclassified/most_confident"]


def test_a_wrong_layer_is_named(classifier, trainer, tiny):
    with pytest.raises(UserError, match=r"callbacks\.misclassified\.layer=layer7"):
        trainer(Misclassified(layer="layer7")).test(classifier, datamodule=tiny(), verbose=False)
