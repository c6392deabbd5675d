"""The Grad-CAM callback: what it leaves in the run directory and in TensorBoard, and that the training never knows."""

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate.callbacks.gradcam import GradCam
from ablate.errors import UserError
from ablate.explain.methods import SLOW


class Watch(pl.Callback):
    """The loss of every batch."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0}).Reload()


@pytest.mark.parametrize(
    "settings",
    [{}, {"accumulate_grad_batches": 4}, {"val_check_interval": 0.5}, {"precision": "bf16-mixed"}],
    ids=["plain", "gradient accumulation", "validation in mid-epoch", "bf16-mixed"],
)
def test_the_training_is_bitwise_the_same_without_it(classifier, trainer, tiny, settings):
    initial = {name: value.clone() for name, value in classifier.state_dict().items()}

    def train(*callbacks):
        classifier.load_state_dict(initial)
        torch.manual_seed(1)
        np.random.seed(1)
        watch = Watch()
        fitted = trainer(watch, *callbacks, **settings)
        fitted.fit(classifier, datamodule=tiny())
        (optimizer,) = fitted.optimizers
        tensors = [*classifier.state_dict().values(), *(s["momentum_buffer"] for s in optimizer.state.values())]
        grads = [p.grad for p in classifier.parameters()]
        rng = torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1].astype(np.int64))
        modes = [module.training for module in classifier.modules()]
        hooks = sum(len(m._forward_hooks) + len(m._backward_hooks) for m in classifier.modules())
        return [v.clone() for v in [*tensors, *rng]], [g is None for g in grads], watch.losses, modes, hooks

    without, with_it = train(), train(GradCam(every_n_epochs=1, num_images=3))
    assert len(without[2]) == 12
    assert without[1:] == with_it[1:]
    assert all(torch.equal(a, b) for a, b in zip(without[0], with_it[0], strict=True))


def test_it_draws_after_the_first_epoch_every_second_and_the_last(classifier, trainer, tiny, tmp_path):
    trainer(GradCam(every_n_epochs=2, num_images=4), max_epochs=4).fit(classifier, datamodule=tiny())
    names = sorted(path.name for path in (tmp_path / "gradcam").iterdir())
    assert names == ["epoch_000.png", "epoch_002.png", "epoch_003.png"]
    found = events(tmp_path)
    tags = ["00_red-thing", "01_red-thing", "02_green-thing", "03_blue-thing"]
    chosen = found.Tags()["images"]
    assert len(chosen) == 4
    assert {tag.split("_")[1] for tag in chosen} == {tag.split("_")[1] for tag in tags}
    assert [int(tag.split("/")[1][:2]) for tag in sorted(chosen)] == [0, 1, 2, 3]
    steps = [5, 17, 23]  # six batches an epoch, counted from 0
    assert all([event.step for event in found.Images(tag)] == steps for tag in chosen)
    residual = found.Scalars("explain/completeness")
    assert [event.step for event in residual] == steps
    assert all(0 <= event.value < 1e-4 for event in residual)


def test_a_training_that_stops_early_still_ends_in_a_drawing(classifier, trainer, tiny, tmp_path):
    trainer(GradCam(every_n_epochs=5, num_images=1), max_epochs=9, max_steps=12).fit(classifier, datamodule=tiny())
    assert sorted(path.name for path in (tmp_path / "gradcam").iterdir()) == ["epoch_000.png", "epoch_001.png"]


def test_the_pictures_are_those_of_the_seed_in_every_run(classifier, trainer, tiny):
    def chosen(seed):
        data, callback = tiny(), GradCam(every_n_epochs=9, num_images=4)
        data.seed = seed
        trainer(callback, max_epochs=0).fit(classifier, datamodule=data)
        return callback._pixels

    assert np.array_equal(chosen(3), chosen(3))
    assert not np.array_equal(chosen(3), chosen(4))


def test_a_sheet_is_wide_enough_for_every_layer(classifier, trainer, tiny, tmp_path):
    callback = GradCam(layers=["layer2", "layer4.1"], num_images=2, method="hirescam", shared_scale=True)
    trainer(callback, max_epochs=1).fit(classifier, datamodule=tiny())
    panel_width = 3 * 160 + 2 * 8 + 2 * 8
    with Image.open(tmp_path / "gradcam" / "epoch_000.png") as sheet:
        assert sheet.width == 2 * panel_width + 8


def test_without_a_board_the_folder_still_gets_its_pictures(classifier, tiny, tmp_path):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    callback = GradCam(num_images=1)
    trainer = pl.Trainer(
        default_root_dir=tmp_path, logger=False, callbacks=[callback], max_epochs=1, accelerator="cpu", **quiet
    )
    trainer.fit(classifier, datamodule=tiny())
    assert (tmp_path / "gradcam" / "epoch_000.png").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ["layer5"]}, r"callbacks\.gradcam\.layers has 'layer5'[\s\S]*layer1, layer2, layer3, layer4"),
        (
            {"method": "gradcamm"},
            r"gradcam\.method=gradcamm[\s\S]*type: +callbacks\.gradcam\.method=gradcam",
        ),
        ({"method": min(SLOW)}, r"ablationcam, which takes seconds a picture[\s\S]*python -m ablate explain"),
        ({"every_n_epochs": 0}, r"callbacks\.gradcam\.every_n_epochs=0"),
        ({"num_images": 0}, r"callbacks\.gradcam\.num_images=0"),
    ],
)
def test_a_wrong_setting_is_named_before_the_training(classifier, trainer, tiny, settings, message):
    with pytest.raises(UserError, match=message):
        trainer(GradCam(**settings)).fit(classifier, datamodule=tiny())
