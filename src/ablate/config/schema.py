"""The shape of a config: every key with its type, its range in words and an example to type.

Values are checked strictly (`true` is no number, `"0.1"` is none either, nan and inf are refused) and nothing is filled
in: the defaults are in `conf/`, and only there. What depends on two keys is in `rules.py`; nodes with a `_target_` are
plain mappings here and checked by target (`nodes.py`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

Node = dict[str, Any]  # a mapping with `_target_`, to be built by `targets.instantiate`


def key(allowed: str, example: object, **limits: Any) -> Any:
    """A key of the config: what is allowed, in words, and a value to type; `limits` as in pydantic's `Field`."""
    return Field(description=allowed, examples=[example], **limits)


class Section(BaseModel):
    """A group of keys. Unknown ones are refused; so are values of a neighbouring type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


class Data(Section):
    """What the network learns from, and how it is served."""

    source: Node
    root: str | None = key("a folder", "DIR", min_length=1)
    image_size: int = key("a whole number of pixels from 8 to 1024", 32, ge=8, le=1024)
    batch_size: int = key("a whole number from 2 to 65536", 128, ge=2, le=65536)
    val_fraction: float = key("a number above 0, at most 0.5", 0.1, gt=0, le=0.5)
    num_workers: Literal["auto"] | Annotated[int, Field(ge=0, le=256)] = key("auto, or a whole number from 0", "auto")


class Loss(Section):
    """Cross-entropy, and what is added to it."""

    label_smoothing: float = key("a number from 0, below 1", 0.1, ge=0, lt=1)
    l1: float = key("a number from 0 to 1", 1e-5, ge=0, le=1)


class Augmentation(Section):
    """Ordered: name -> Albumentations transform."""

    train: dict[str, Node]
    test: dict[str, Node]


_DeviceNumbers = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Batches = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] | None


class Trainer(Section):
    """Keys of Lightning's Trainer, and `compile`, as `conf/trainer/auto.yaml` explains them."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = key("auto, cpu, gpu, cuda or mps", "auto")
    devices: (
        Literal["auto"]
        | Annotated[int, Field(ge=1)]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    ) = key("a whole number from 1, a list of device numbers, or auto", 1)
    num_nodes: int = key("a whole number from 1", 1, ge=1)
    strategy: Literal["auto", "ddp"] = key("auto or ddp: each process then lives and ends by itself", "auto")
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"] = key(
        "32-true, bf16-mixed, 16-mixed, bf16-true, 16-true or 64-true", "bf16-mixed"
    )
    max_epochs: int = key("a whole number from 1", 8, ge=1)
    deterministic: bool | Literal["warn"] = key("true, false or warn", "true")
    benchmark: bool | None = key("true, false or null", "null")
    gradient_clip_val: float | None = key("a number above 0, or null", 1.0, gt=0)
    gradient_clip_algorithm: Literal["norm", "value"] = key("norm or value", "norm")
    accumulate_grad_batches: int = key("a whole number from 1", 1, ge=1)
    log_every_n_steps: int = key("a whole number from 1", 10, ge=1)
    limit_train_batches: _Batches = key("a number of batches, a fraction above 0 and at most 1, or null", 1.0)
    limit_val_batches: _Batches = key("a number of batches, a fraction above 0 and at most 1, or null", 1.0)
    sync_batchnorm: bool = key("true or false", "false")
    detect_anomaly: bool = key("true or false", "false")
    compile: bool = key("true or false", "true")
    profiler: Literal["simple", "advanced"] | None = key("simple, advanced or null", "simple")

    @property
    def lightning_arguments(self) -> dict[str, Any]:
        """What Lightning's Trainer is given of them."""
        return self.model_dump(exclude_unset=True, exclude={"compile"})


Metric = Literal["test/accuracy", "test/loss", "val/accuracy", "val/loss"]


class Report(Section):
    """What a comparison is about."""

    metric: Metric = key("test/accuracy, test/loss, val/accuracy or val/loss", "test/accuracy")
    margin: float = key("a number above 0, in points: smaller differences count as none", 0.2, gt=0, le=100)
    target: float | None = key("a number from 0 to 100, in points, or null", 87, ge=0, le=100)


class Config(Section):
    """One run, checked. Made by `plan.compose`; `plain` is the same as a resolved mapping."""

    name: str = key("a file name: letters, digits and . _ - +", "my_run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,79}$")
    seed: int = key("a whole number from 0, below 2^32", 0, ge=0, lt=2**32)
    factors: list[str] = key("left to -m, which fills it in", "[]")
    allow_targets: list[str] = key("a list of packages", "[my_package]")
    data: Data
    model: Node
    optimizer: Node
    scheduler: Node
    loss: Loss
    augmentation: Augmentation
    trainer: Trainer
    callbacks: dict[str, Node]
    logger: dict[str, Node]
    report: Report

    _plain: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Config":
        """From a resolved mapping; `pydantic.ValidationError` for one that does not fit."""
        config = cls.model_validate(plain)
        config._plain = dict(plain)
        return config

    @property
    def plain(self) -> dict[str, Any]:
        """The resolved mapping, key for key as the YAML gave it: what `run.json` and `config.yaml` hold."""
        return self._plain


# Keys that exist in Lightning or torch and are not the config's to set, with the reason.
OWNED = {
    "trainer.logger": "the group `logger` sets it",
    "trainer.callbacks": "the group `callbacks` sets it",
    "trainer.default_root_dir": "it is the run directory; hydra.run.dir moves it",
    "trainer.enable_checkpointing": "every run keeps its best and its last checkpoint",
    "trainer.enable_progress_bar": "the callback `progress` is the bar: `~callbacks.progress` removes it",
    "trainer.enable_model_summary": "the number of parameters is in run.json",
    "trainer.fast_dev_run": "it would skip checkpoints and the record; `experiment=smoke` is the quick whole run",
    "trainer.num_sanity_val_steps": "validation before training would disturb the random streams",
    "trainer.limit_test_batches": "an accuracy over a part of the test set compares with nothing",
    "trainer.limit_predict_batches": "nothing is predicted outside the test",
    "trainer.overfit_batches": "it turns validation into training; use trainer.limit_train_batches",
    "trainer.min_epochs": "a run lasts trainer.max_epochs, or the schedule would be cut",
    "trainer.max_steps": "a run lasts trainer.max_epochs, or the schedule would be cut",
    "trainer.min_steps": "a run lasts trainer.max_epochs, or the schedule would be cut",
    "trainer.max_time": "a run lasts trainer.max_epochs, or the schedule would be cut",
    "trainer.check_val_every_n_epoch": "validation ends every epoch: the checkpoint is chosen on it",
    "trainer.val_check_interval": "validation ends every epoch: the checkpoint is chosen on it",
    "trainer.use_distributed_sampler": "the data shards itself, so that batches depend on (seed, epoch) alone",
    "trainer.reload_dataloaders_every_n_epochs": "the loaders follow the epoch by themselves",
    "trainer.inference_mode": "the callbacks that need gradients leave it by themselves",
    "trainer.barebones": "it would switch off the checkpoints and the logger",
    "trainer.plugins": "objects have no place among plain values; use trainer.precision and trainer.strategy",
    "trainer.enable_autolog_hparams": "the logger writes the hyperparameters",
    "trainer.model_registry": "checkpoints stay in the run directory",
    "model.num_classes": "it is the number of classes of the data",
    "optimizer.params": "the network's parameters are filled in",
    "scheduler.optimizer": "the optimizer is filled in",
    "scheduler.total_steps": "it follows from trainer.max_epochs and data.batch_size",
    "scheduler.num_epochs": "it is trainer.max_epochs",
}
