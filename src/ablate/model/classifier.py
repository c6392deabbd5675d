"""Cross-entropy training of a picture classifier.  B pictures in a batch, H x W pixels."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ablate.model.shared_statistics import SharedStatistics
from ablate.model.torch_compile import Pass, compiled

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
    `compile`: the training passes go through `torch.compile`, once for each size of batch; all else stays as it is.

    Logs `train|val|test/loss` and `/accuracy`, means over all samples of the epoch: `loss` is the cross-entropy, with
    the smoothing in training and without the L1 penalty; accuracy is in [0, 1].

    Where several processes share a batch, what is minimised is its mean over all of them, the running statistics of
    ghost batch norm are of all of it, and what is logged is of all. Each process normalises its own share.
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
        compile: bool = False,
    ) -> None:
        super().__init__()
        # Pictures arrive as (B, H, W, 3), which *is* channels-last: the network follows, on any device.
        self.net = net.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1))
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._label_smoothing, self._l1 = label_smoothing, l1
        self._compile = compile
        self._compiled: Pass | None = None  # while it trains
        # Of the epoch: loss, right answers and penalty, summed over samples; samples. Lightning's own means would be
        # lost in a training that goes on within an epoch.
        self._sums, self._num_samples = torch.zeros(3), 0
        self._goes_on_with_validation = False
        self._shared: SharedStatistics | None = None

    def normalize(self, pictures: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) in channels-last memory, without a copy between the two; float32, unless
        the module has been cast to another precision."""
        images = pictures.permute(0, 3, 1, 2).float().sub_(255 * self.mean).div_(255 * self.std)
        return images.to(self.mean.dtype)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (B, H, W, 3) uint8 -> logits (B, classes)."""
        logits: Tensor = self.net(self.normalize(pictures))
        return logits

    def on_fit_start(self) -> None:
        if self._compile:
            self._compiled = compiled(self.forward)
        if self.trainer.world_size > 1:
            self._shared = SharedStatistics(self.net)

    def on_fit_end(self) -> None:
        self._compiled = None
        if self._shared is not None:
            self._shared.release()
            self._shared = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        pictures, labels = batch
        logits = self._compiled(pictures) if self._compiled else self(pictures)
        loss = F.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        # For TensorBoard, and of the last step for metrics.csv. In between Lightning takes 1 ms to throw it away.
        if self.trainer._logger_connector.should_update_logs or self.trainer.is_last_batch:
            group = self._optimizer_state()
            self.log_dict({f"optimizer/{key}": value for key, value in group.items()}, on_step=True, on_epoch=False)
        parameters = self.net.parameters() if self._l1 else ()
        penalty = self._l1 * torch.stack([p.abs().sum() for p in parameters]).sum() if self._l1 else loss.new_zeros(())
        if batch_idx == 0:
            self._sums, self._num_samples = torch.zeros_like(self._sums), 0
        with torch.no_grad():
            num_right = (logits.argmax(1) == labels).sum()
            sums = torch.stack([len(labels) * loss.float(), num_right.float(), len(labels) * penalty.float()])
            self._sums = self._sums.to(sums.device) + sums
        self._num_samples += len(labels)
        if self.trainer.is_last_batch:
            self._log_training()
        if self._shared is not None:
            num_samples = self._num_in_batch(batch_idx, len(labels))
            self._shared.track(num_samples)
            # The mean over processes follows; it is the mean over samples only if all have as many.
            loss = loss * (len(labels) * self.trainer.world_size / num_samples)
        return loss + penalty if self._l1 else loss

    def _num_in_batch(self, batch_idx: int, here: int) -> int:
        """Samples of a training batch over all processes; `here` of them in this one."""
        batches: Any = getattr(self.trainer.train_dataloader, "batch_sampler", None)
        return int(batches.num_in(batch_idx)) if hasattr(batches, "num_in") else here * self.trainer.world_size

    def on_train_start(self) -> None:
        if self._goes_on_with_validation:
            self._goes_on_with_validation = False
            self._log_training()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        whole = self.trainer.is_last_batch
        checkpoint["epoch_sums"] = {"sums": self._sums.cpu(), "num_samples": self._num_samples, "whole": whole}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("epoch_sums")
        if state is None:
            return
        self._sums, self._num_samples = state["sums"], state["num_samples"]
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        self._goes_on_with_validation = state["whole"] and progress["processed"] < progress["ready"]

    def _log_training(self) -> None:
        """The means over the samples of the whole epoch."""
        sums, num_samples = self._sums, self._num_samples
        if self._shared is not None:  # Lightning would weight the processes by a mean that it rounds down
            together = torch.cat([sums.double(), sums.new_tensor([num_samples], dtype=torch.float64)])
            everywhere = self.trainer.strategy.reduce(together, reduce_op="sum")
            sums, num_samples = everywhere[:3].float(), int(everywhere[3])
        loss, accuracy, penalty = sums / num_samples
        values = {"train/loss": loss, "train/accuracy": accuracy}
        if self._l1:
            values["train/l1"] = penalty
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=num_samples, sync_dist=True)

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
