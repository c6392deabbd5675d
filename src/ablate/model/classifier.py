"""Cross-entropy training of a picture classifier.  B pictures in a batch, H x W pixels."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Batch = tuple[Tensor, Tensor]  # pictures (B, H, W, 3) uint8, labels (B,) int64
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]


class MakeScheduler(Protocol):
    def __call__(self, optimizer: Optimizer, *, total_steps: int, num_epochs: int) -> LRScheduler: ...


class Classifier(pl.LightningModule):
    """A network with its normalisation, loss, metrics and optimizer.

    `net`: normalised pictures (B, 3, H, W) float in channels-last memory -> logits (B, classes).
    `mean`, `std`: by channel, on the pixel scale [0, 1]; kept in the checkpoint, so that it can be used on any picture.
    `label_smoothing` in [0, 1), on the training loss alone (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567).
    `l1` >= 0: weight of the sum of all absolute parameters, added to what is minimised, logged as `train/l1`.

    Logs `train|val|test/loss` and `/accuracy`, means over all samples of the epoch: `loss` is the cross-entropy, with
    the smoothing in training and without the L1 penalty; accuracy is in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler,
        label_smoothing: float = 0.0,
        l1: float = 0.0,
    ) -> None:
        super().__init__()
        # Pictures arrive as (B, H, W, 3), which *is* channels-last: the network follows, on any device.
        self.net = net.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1))
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._label_smoothing, self._l1 = label_smoothing, l1

    def normalize(self, pictures: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in channels-last memory, without a copy between the two."""
        return pictures.permute(0, 3, 1, 2).float().sub_(255 * self.mean).div_(255 * self.std)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, H, W, 3) uint8 -> logits (B, classes)."""
        logits: Tensor = self.net(self.normalize(pictures))
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        pictures, labels = batch
        logits = self(pictures)
        loss = F.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        self._log("train", loss, logits, labels)
        group = self._optimizer_state()
        self.log_dict({f"optimizer/{key}": value for key, value in group.items()}, on_step=True, on_epoch=False)
        if not self._l1:
            return loss
        penalty = self._l1 * torch.stack([p.abs().sum() for p in self.net.parameters()]).sum()
        self.log("train/l1", penalty.detach(), on_step=False, on_epoch=True, batch_size=len(labels))
        return loss + penalty

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate(batch, "test")

    def _evaluate(self, batch: Batch, split: str) -> dict[str, Tensor]:
        pictures, labels = batch
        logits = self(pictures).float()
        self._log(split, F.cross_entropy(logits, labels), logits, labels)
        return {"logits": logits, "labels": labels}

    def _log(self, split: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        values = {f"{split}/loss": loss.detach(), f"{split}/accuracy": accuracy}
        # Lightning weights each batch by its size: a true mean over samples, also with a ragged last batch.
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(labels), sync_dist=True)

    def _optimizer_state(self) -> dict[str, float]:
        """Learning rate and momentum of this very step, as the schedule left them."""
        group = self.trainer.optimizers[0].param_groups[0]
        momentum = group.get("momentum", group.get("betas", (0.0,))[0])
        return {"lr": group["lr"], "momentum": momentum}

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(self.net.parameters())
        total_steps, num_epochs = int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs
        assert num_epochs is not None
        scheduler = self._make_scheduler(optimizer, total_steps=total_steps, num_epochs=num_epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
