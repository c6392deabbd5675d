"""The loaders of a run: a source's pictures, split, shuffled, augmented and put in batches."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from ablate.data.dataset import Batch, PictureSet
from ablate.data.sampler import EpochBatchSampler, OrderedBatchSampler
from ablate.data.source import Index, Pictures, Source, checksum
from ablate.data.split import stratified_split
from ablate.errors import Problem, UserError

if TYPE_CHECKING:
    from ablate.data.augment import Augmentation


class ClassificationData(pl.LightningDataModule):
    """Batches (images (B, H, W, 3) uint8, labels (B,) int64) for training, validation and test.

    Validation pictures are a stratified part of the source's training pictures; the source's test pictures are read by
    `setup("test")` alone. `batch_size` counts the pictures of one step, over all devices. The training batches are a
    pure function of (seed, epoch), whatever `num_workers` is. With several devices each trains on its share of every
    batch, and each evaluates all pictures: an evaluation has no last batch to hang on, and its numbers are exact.
    """

    checksum: str  # of all training pictures, validation included
    train_pictures: Pictures  # before augmentation, in order, as `val_pictures` and `test_pictures`
    val_pictures: Pictures
    test_pictures: Pictures
    train_index: Index  # positions in the source's training pictures
    val_index: Index

    def __init__(
        self,
        source: Source,
        augmentation: "Augmentation",
        *,
        batch_size: int,
        val_fraction: float,
        num_workers: int = 0,
        seed: int,
        pin_memory: bool = False,
    ) -> None:
        super().__init__()
        self.source, self.augmentation, self.seed = source, augmentation, seed
        self.batch_size, self.val_fraction = batch_size, val_fraction
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.image_size = source.image_size
        self._train_loader: TrainLoader | None = None
        self._place: dict[str, int] | None = None  # in the training, of a checkpoint that it goes on from
        UserError.raise_all(self._mistakes())

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def setup(self, stage: str | None = None) -> None:
        if stage != "test" and not hasattr(self, "train_pictures"):
            self._read_training_pictures()
        if stage in ("test", None) and not hasattr(self, "test_pictures"):
            self.test_pictures = self.source.test()

    def train_dataloader(self) -> "TrainLoader":
        rank, num_ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if self.batch_size < 2 * num_ranks:
            raise UserError.of(
                f"data.batch_size={self.batch_size} on {num_ranks} devices",
                "two pictures or more on each device: one has no variance to normalise by",
                f"data.batch_size={2 * num_ranks}",
            )
        batches = EpochBatchSampler(
            len(self.train_pictures.labels), self.batch_size, self.seed, rank=rank, num_ranks=num_ranks
        )
        pictures = PictureSet(self.train_pictures, self.augmentation.train, self.seed)
        self._train_loader = TrainLoader(pictures, batch_sampler=batches, **self._options(self.num_workers))
        if self._place is not None:
            self._train_loader.load_state_dict(self._place)
        return self._train_loader

    def state_dict(self) -> dict[str, Any]:
        """The place of the training among its batches. Lightning keeps the loader's state too, and forgets to load it
        if `configure_optimizers` has asked for the number of steps."""
        return {} if self._train_loader is None else self._train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._place = state_dict

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._in_order(self.val_pictures)

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._in_order(self.test_pictures)

    def _in_order(self, pictures: Pictures) -> DataLoader[Batch]:
        dataset = PictureSet(pictures, self.augmentation.test, self.seed)
        batches = OrderedBatchSampler(len(dataset), self.batch_size)
        num_workers = self.num_workers if len(self.augmentation.test) else 0  # else they would only copy
        return DataLoader(dataset, batch_sampler=batches, **self._options(num_workers))

    def _options(self, num_workers: int) -> dict[str, Any]:
        return {
            "collate_fn": _as_it_is,
            "num_workers": num_workers,
            "persistent_workers": num_workers > 0,
            "pin_memory": self.pin_memory,
            "generator": torch.Generator().manual_seed(0),  # else starting a loader draws from the global one
        }

    def _read_training_pictures(self) -> None:
        pictures = self.source.train()
        self.checksum = checksum(pictures)
        self.train_index, self.val_index = stratified_split(pictures.labels, self.val_fraction, self.seed, self.classes)
        if self.batch_size > len(self.train_index):
            raise UserError.of(
                f"data.batch_size={self.batch_size}, and there are {len(self.train_index)} training pictures "
                f"({len(self.val_index)} more are for validation)",
                "one full batch or more in an epoch",
                f"data.batch_size={2 ** (len(self.train_index).bit_length() - 1)}",
            )
        self.train_pictures = pictures.take(self.train_index)
        self.val_pictures = pictures.take(self.val_index)

    def _mistakes(self) -> Iterator[Problem]:
        if self.batch_size < 2:
            allowed = "2 or more: one picture has no variance to normalise by"
            yield Problem(f"data.batch_size={self.batch_size}", allowed, "data.batch_size=128")
        if self.augmentation.image_size != self.image_size:
            given = f"pictures of {self.image_size} pixels and an augmentation for {self.augmentation.image_size}"
            yield Problem(given, "one size for both", f"Augmentation(train, test, image_size={self.image_size})")


class TrainLoader(DataLoader[Batch]):
    """Knows its place in the training, so that a checkpoint made within an epoch can go on with the very next batch.

    Lightning keeps `state_dict()` in its checkpoints. When it resumes it asks for `load_state_dict`, then for an
    iterator, and only then sets the epoch: so nothing is fetched before the first batch is asked for.
    """

    batch_sampler: EpochBatchSampler
    _place = (0, 0)  # epoch, batches given out in it

    def __iter__(self) -> Any:  # torch's type is private
        sampler = self.batch_sampler
        epoch, first = self._place = (sampler.epoch, sampler.first_batch)
        for number, batch in enumerate(super().__iter__(), first + 1):
            self._place = (epoch, number)
            yield batch

    def state_dict(self) -> dict[str, int]:
        epoch, num_batches = self._place
        return {"epoch": epoch, "num_batches": num_batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._place = (state["epoch"], state["num_batches"])
        self.batch_sampler.skip(*self._place)


def _as_it_is(batch: Batch) -> Batch:
    return batch
