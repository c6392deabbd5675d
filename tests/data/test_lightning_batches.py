"""The batches that Lightning gets to see, from the first to the last and when it is resumed."""

import warnings

import pytest
import pytorch_lightning as pl
import torch

from ablate.data.augment import A, Augmentation
from ablate.data.datamodule import ClassificationData
from ablate.data.shapes import Shapes

# Python 3.12 warns of every fork in a process with threads; torch's workers are forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def make(num_workers):
    last = {"normalize": A.Normalize(0.5, 0.25)}
    augmentation = Augmentation(
        {"flip": A.HorizontalFlip(p=0.5), "noise": A.GaussNoise(p=0.5)} | last, last, image_size=16
    )
    settings = {"batch_size": 16, "val_fraction": 0.2, "num_workers": num_workers, "seed": 0}
    return ClassificationData(Shapes(60, 10, image_size=16), augmentation, **settings)


class Recorder(pl.LightningModule):
    """Trains almost nothing and keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(3, 4), []

    def training_step(self, batch, batch_idx):
        images, labels = batch
        self.seen.append((self.current_epoch, batch_idx, images.numpy().tobytes()))
        return torch.nn.functional.cross_entropy(self.layer(images.float().mean((1, 2))), labels)

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.001)


class SaveAlways(pl.Callback):
    def __init__(self, folder):
        self.folder, self.seen_at = folder, {}

    def save(self, trainer, module, moment):
        path = self.folder / f"{len(self.seen_at)}-{moment}.ckpt"
        self.seen_at[path] = len(module.seen)
        trainer.save_checkpoint(path)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.save(trainer, module, "batch end")

    def on_validation_end(self, trainer, module):
        self.save(trainer, module, "validation end")

    def on_train_epoch_end(self, trainer, module):
        self.save(trainer, module, "epoch end")


def fit(folder, num_workers=0, callbacks=(), checkpoint=None, **settings):
    module, data = Recorder(), make(num_workers)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=list(callbacks),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **quiet,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=pl.utilities.warnings.PossibleUserWarning)
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*srun. command is available.*")  # a machine with SLURM
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return module.seen


def test_lightning_trains_on_the_batches_of_each_epoch(tmp_path):
    data = make(num_workers=0)
    data.setup("fit")
    loader, expected = data.train_dataloader(), []
    for epoch in range(3):
        loader.batch_sampler.set_epoch(epoch)
        expected += [(epoch, number, images.numpy().tobytes()) for number, (images, _) in enumerate(loader)]
    for num_workers in (0, 1):
        assert fit(tmp_path, num_workers) == expected


@pytest.mark.parametrize("limit", [1.0, 2])
def test_a_training_resumed_anywhere_goes_on_with_the_very_next_batch(tmp_path, limit):
    saved = SaveAlways(tmp_path)
    whole = fit(tmp_path, callbacks=[saved], limit_train_batches=limit)
    assert len(saved.seen_at) == len(whole) + 6
    for number, (path, num_seen) in enumerate(saved.seen_at.items()):
        resumed = fit(tmp_path, num_workers=number == 4, checkpoint=path, limit_train_batches=limit)
        assert resumed == whole[num_seen:], path.name
