"""The trust card of a run."""

import json

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate.callbacks.trust_card import TrustCard
from ablate.data.shapes import Shapes
from ablate.errors import UserError


def test_it_is_written_as_json_text_and_picture(classifier, trainer, tiny, tmp_path):
    data = tiny()
    data.source = Shapes(num_train=4, num_test=24)
    data.test_pictures = data.source.test()
    data.classes = data.source.classes
    classifier.net.fc = torch.nn.Linear(32, 4)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    trainer(TrustCard(num_pictures=16)).test(classifier, datamodule=data, verbose=False)
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    card = json.loads((tmp_path / "trust_card.json").read_text())
    assert list(card["checks"]) == ["completeness", "randomisation", "road", "grid pointing", "pointing game"]
    assert card["num_pictures"] == 16
    assert card["checks"]["completeness"]["passed"] is True
    assert card["checks"]["pointing game"]["own"]["n"] == 16  # the boxes are known
    with Image.open(tmp_path / "trust_card.png") as image:
        assert image.width < 1000
    board = EventAccumulator(str(tmp_path)).Reload()
    assert board.Tags()["images"] == ["trust_card"]
    (text,) = board.Tensors("trust_card/text_summary")
    assert card["verdict"] in text.tensor_proto.string_val[0].decode()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_pictures": 3}, r"callbacks\.trust_card\.num_pictures=3\n.*8 or more"),
        ({"layer": "layer8"}, r"callbacks\.trust_card\.layer=layer8"),
        ({"method": "scorecam"}, r"callbacks\.trust_card\.method=scorecam, which takes seconds a picture"),
    ],
)
def test_a_wrong_setting_is_named(classifier, trainer, tiny, settings, message):
    with pytest.raises(UserError, match=message):
        trainer(TrustCard(**settings)).test(classifier, datamodule=tiny(), verbose=False)
