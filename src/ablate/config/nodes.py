"""Nodes whose class we know: their keys, types and ranges, by `_target_`. Checked without importing torch.

A target that is not listed here is checked against its signature (`signature.py`).
"""

from typing import Annotated, Literal

from pydantic import Field

from ablate.config.schema import Section, key


class Built(Section):
    """A node that is built into an object."""

    target: str = Field(alias="_target_")


class Completed(Built):
    """A node that is built later, when the rest of its arguments is known."""

    partial: Literal[True] = Field(
        alias="_partial_", description="true: the rest is filled in by the run", examples=["true"]
    )


class Digits(Built):
    image_size: int = key("a whole number of pixels from 8 to 1024", 32, ge=8, le=1024)


class Cifar(Built):
    root: str = key("a folder", "data", min_length=1)


class ImageFolder(Built):
    root: str = key("a folder that holds train/ and test/", "DIR", min_length=1)
    image_size: int = key("a whole number of pixels from 8 to 1024", 32, ge=8, le=1024)


class Shapes(Built):
    num_train: int = key("a whole number from 20", 2000, ge=20)
    num_test: int = key("a whole number from 10", 500, ge=10)
    image_size: int = key("a whole number of pixels from 16 to 1024", 32, ge=16, le=1024)
    seed: int = key("a whole number from 0, below 2^32", 0, ge=0, lt=2**32)


class ResNet(Built):
    depth: Literal[18, 34, 50, 101, 152] = key("18, 34, 50, 101 or 152", 18)
    width: int = key("a whole number of channels from 1 to 1024", 64, ge=1, le=1024)


class GhostResNet(ResNet):
    ghost_size: int = key("a whole number of pictures from 2: one alone has no variance", 32, ge=2)


class Sgd(Completed):
    lr: float = key("a number above 0", 0.1, gt=0, le=1000)
    momentum: float = key("a number from 0, below 1", 0.9, ge=0, lt=1)
    nesterov: bool = key("true or false", "true")
    weight_decay: float = key("a number from 0, below 1", 5e-4, ge=0, lt=1)
    dampening: float | None = key("a number from 0 to 1", 0, ge=0, le=1, default=None)


Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamW(Completed):
    lr: float = key("a number above 0", 0.001, gt=0, le=1000)
    betas: Annotated[list[Beta], Field(min_length=2, max_length=2)] = key("two numbers from 0, below 1", "[0.9,0.999]")
    eps: float = key("a number above 0", 1e-8, gt=0, le=1)
    weight_decay: float = key("a number from 0, below 1", 0.05, ge=0, lt=1)


class OneCycle(Completed):
    max_lr: float = key("a number above 0", "'${optimizer.lr}'", gt=0, le=1000)
    pct_start: float = key("a number above 0, below 1", 0.3, gt=0, lt=1)
    div_factor: float = key("a number from 1", 25, ge=1)
    final_div_factor: float = key("a number from 1", 10000, ge=1)
    cycle_momentum: bool = key("true or false", "false")


class Cosine(Completed):
    warmup_epochs: float = key("a number from 0", 1, ge=0)


# Those of `ablate.explain.methods` that are quick enough for a training.
CamMethod = Literal["gradcam", "hirescam", "gradcam++", "xgradcam", "layercam", "eigencam", "randomcam"]


class GradCam(Built):
    layers: Annotated[list[str], Field(min_length=1)] = key("a list of layers", "[layer4]")
    method: CamMethod = key("gradcam, hirescam, gradcam++, xgradcam, layercam, eigencam or randomcam", "gradcam")
    every_n_epochs: int = key("a whole number from 1", 4, ge=1)
    num_images: int = key("a whole number from 1 to 64", 10, ge=1, le=64)
    shared_scale: bool = key("true or false", "false")


class Misclassified(Built):
    num_images: int = key("a whole number from 1 to 100", 25, ge=1, le=100)
    layer: str | None = key("a layer, or null for the last", "layer4")
    method: CamMethod = key("gradcam, hirescam, gradcam++, xgradcam, layercam, eigencam or randomcam", "gradcam")


class PicturesIn(Built):
    num_images: int = key("a whole number from 1 to 16, of a class", 3, ge=1, le=16)


class TrustCard(Built):
    num_pictures: int = key("a whole number from 8 to 4096", 256, ge=8, le=4096)
    layer: str | None = key("a layer, or null for the last", "layer4")
    method: CamMethod = key("gradcam, hirescam, gradcam++, xgradcam, layercam, eigencam or randomcam", "gradcam")


class Board(Built):
    histograms: bool = key("true or false", "false", default=False)


# The place in the config -> the classes that fit it -> their keys.
KNOWN: dict[str, dict[str, type[Built]]] = {
    "data.source": {
        "ablate.data.digits.Digits": Digits,
        "ablate.data.cifar.Cifar10": Cifar,
        "ablate.data.cifar.Cifar100": Cifar,
        "ablate.data.folder.ImageFolder": ImageFolder,
        "ablate.data.shapes.Shapes": Shapes,
    },
    "model": {"ablate.model.resnet.gbn_resnet": GhostResNet, "ablate.model.resnet.resnet": ResNet},
    "optimizer": {"torch.optim.SGD": Sgd, "torch.optim.AdamW": AdamW},
    "scheduler": {
        "ablate.model.schedule.one_cycle": OneCycle,
        "ablate.model.schedule.cosine": Cosine,
        "ablate.model.schedule.constant": Completed,
    },
    "callbacks": {
        "ablate.callbacks.gradcam.GradCam": GradCam,
        "ablate.callbacks.misclassified.Misclassified": Misclassified,
        "ablate.callbacks.pictures_in.PicturesIn": PicturesIn,
        "ablate.callbacks.confusion.Confusion": Built,
        "ablate.callbacks.calibration.Calibration": Built,
        "ablate.callbacks.trust_card.TrustCard": TrustCard,
        "ablate.callbacks.curves.Curves": Built,
        "ablate.callbacks.throughput.Throughput": Built,
        "ablate.callbacks.progress.Progress": Built,
    },
    "logger": {"ablate.board.Board": Board},
}
