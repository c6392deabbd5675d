"""Augmentation pipelines. The one file that imports Albumentations; import it before anything else does."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else the import asks the package index for its version, every time

from collections.abc import Iterator, Mapping
from typing import Any

import albumentations as A  # type: ignore[import-untyped]
import cv2
import numpy as np

from ablate.data.shortcuts import plain, shortcut
from ablate.data.source import Pixels
from ablate.errors import Problem, UserError
from ablate.streams import MovingStream, Stream

cv2.setNumThreads(0)  # its threads cost more than they save on small pictures, and do not survive a fork

Transform = Any  # A.BasicTransform or A.BaseCompose; the library has no types
NUM_TRIALS = 16  # places at which a pipeline is tried before a run


class Pipeline:
    """Transforms in a row: picture (H, W, 3) uint8 -> picture (h, w, 3) uint8.

    Draws what `A.Compose(transforms, strict=True)` with the same random state draws, and returns the same bytes;
    a transform without a shortcut is called as it is.
    """

    def __init__(self, path: str, transforms: Mapping[str, Transform]) -> None:
        self.path = path  # of `transforms` in the config, for messages
        self.compose = A.Compose(list(transforms.values()), strict=True)
        self._steps = [(name, transform, shortcut(transform) or plain) for name, transform in transforms.items()]

    def __len__(self) -> int:
        return len(self._steps)

    def draw_from(self, stream: MovingStream) -> None:
        """All transforms share this one stream: with a stream each, equally seeded, their decisions correlate."""
        self.compose.set_random_state(stream.numpy, stream.python)

    def __call__(self, picture: Pixels) -> Pixels:
        *_, (_, result) = self._stages(picture)
        return result

    def _stages(self, picture: Pixels) -> Iterator[tuple[str, Pixels]]:
        """The picture as it came, under no name, then (name, picture after it) of each transform in turn."""
        yield "", picture
        self.compose.py_random.random()  # A.Compose draws for its own p first
        for name, transform, step in self._steps:
            try:
                picture = step(transform, picture)
            except Exception as error:
                raise UserError(_fails(f"{self.path}.{name}", error)) from error
            if step is plain and (picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3):
                raise UserError(_not_uint8(f"{self.path}.{name}", picture))
            yield name, picture

    def problems(self, image_size: int, *, may_vary: bool) -> list[Problem]:
        """What is wrong with it, found by trying it on noise, with a stream of its own."""
        noise = np.random.default_rng(0).integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)
        stream = MovingStream(0, Stream.AUGMENT)
        self.draw_from(stream)
        trials = []
        for place in [*range(NUM_TRIALS), 0]:  # the first place twice
            stream.move_to(0, place)
            try:
                trials.append(list(self._stages(noise.copy())))
            except UserError as error:
                return list(error.problems)
        if culprit := _first_difference(trials[0], trials[-1]):
            return [_unseeded(f"{self.path}.{culprit}")]
        for trial in trials if not may_vary else []:
            if culprit := _first_difference(trials[0], trial):
                return [_varies(f"{self.path}.{culprit}")]
        shapes = {trial[-1][1].shape for trial in trials} - {noise.shape}
        return [self.wrong_size(min(shapes), image_size)] if shapes else []

    def wrong_size(self, shape: tuple[int, ...], image_size: int) -> Problem:
        return Problem(
            f"{self.path} makes pictures {shape[1]} x {shape[0]} (width x height)",
            f"{image_size} x {image_size}, as data.image_size",
            f"'+{self.path}.resize={{_target_:albumentations.Resize,height:{image_size},width:{image_size}}}'",
        )


class Augmentation:
    """What happens to pictures on their way to the network: `train` draws, `test` (also for validation) never does.

    Given as ordered mappings name -> Albumentations transform, which must turn pictures of `image_size` into pictures
    of `image_size`. Normalize and ToTensorV2 come last wherever they are listed, and are left to the device: a batch
    stays uint8 (N, H, W, 3) until it is there and the classifier subtracts `mean` and divides by `std` (three numbers
    each, for pixels scaled to [0, 1]).
    """

    def __init__(self, train: Mapping[str, Transform], test: Mapping[str, Transform], *, image_size: int = 32) -> None:
        sides = {"augmentation.train": train, "augmentation.test": test}
        UserError.raise_all(problem for path, side in sides.items() for problem in _problems(path, side))
        self.mean, self.std = _mean_and_std(train)
        if (self.mean, self.std) != _mean_and_std(test):
            raise UserError.of(
                f"augmentation.train normalises to mean {self.mean}, std {self.std}, "
                "augmentation.test to mean {}, std {}".format(*_mean_and_std(test)),
                "one normalisation for both",
                "the same mean and std in both Normalize transforms",
            )
        last = A.Normalize | A.ToTensorV2
        self.train, self.test = (
            Pipeline(path, {name: transform for name, transform in side.items() if not isinstance(transform, last)})
            for path, side in sides.items()
        )
        self.image_size = image_size
        tried = self.train.problems(image_size, may_vary=True) + self.test.problems(image_size, may_vary=False)
        UserError.raise_all(tried)


def _problems(path: str, side: Mapping[str, Transform]) -> Iterator[Problem]:
    for name, transform in side.items():
        yield from _unusable(f"{path}.{name}", transform, may_vary=path == "augmentation.train")
    yield from _normalize_problems(path, side)


def _unusable(path: str, transform: Any, *, may_vary: bool) -> Iterator[Problem]:
    """What can be said of a transform, or of those inside it, without calling it."""
    if isinstance(transform, A.BaseCompose):
        for inner in transform.transforms:
            yield from _unusable(path, inner, may_vary=may_vary)
    elif not isinstance(transform, A.BasicTransform):
        yield Problem(f"{path} is {transform!r}", "an Albumentations transform", f"~{path}")
    else:
        name, needs = type(transform).__name__, set(transform.targets_as_params) - {"image"}
        for argument in transform.invalid_args:
            known = ", ".join(sorted({*transform.get_transform_init_args_names(), "p"}))
            yield Problem(f"{path}.{argument} is no argument of {name}", f"one of {known}", f"~{path}.{argument}")
        if "image" not in transform.available_keys:
            yield Problem(f"{path}: {name} does not work on single pictures", "a transform of 2D pictures", f"~{path}")
        if needs:
            listed = ", ".join(sorted(needs))
            yield Problem(f"{path}: {name} needs {listed}", "a transform that needs the picture alone", f"~{path}")
        if 0 < transform.p < 1 and (not may_vary or isinstance(transform, A.Normalize)):
            allowed = "1: every picture is normalised" if may_vary else "0 or 1: test pictures are the same every time"
            yield Problem(f"{path}.p={transform.p:g}", allowed, f"{path}.p=1")


def _normalize_problems(path: str, side: Mapping[str, Transform]) -> Iterator[Problem]:
    found = {name: transform for name, transform in side.items() if isinstance(transform, A.Normalize)}
    if not found:
        example = "{_target_:albumentations.Normalize,mean:[0.5,0.5,0.5],std:[0.5,0.5,0.5]}"
        yield Problem(f"{path} has no Normalize", "exactly one", f"'+{path}.normalize={example}'")
    for name in list(found)[1:]:
        yield Problem(f"{path} has {len(found)} Normalize: {', '.join(found)}", "exactly one", f"~{path}.{name}")
    for name, transform in found.items():
        kind = transform.normalization
        if kind != "standard":
            yield Problem(f"{path}.{name}.normalization={kind}", "standard", f"{path}.{name}.normalization=standard")
        elif {np.size(transform.mean), np.size(transform.std)} - {1, 3}:
            given = f"{path}.{name} has mean {transform.mean} and std {transform.std}"
            yield Problem(given, "one number or three each", f"{path}.{name}.mean=[0.5,0.5,0.5]")
        elif transform.p == 0 or np.min(transform.std) <= 0 or transform.max_pixel_value <= 0:
            given = f"{path}.{name} has p {transform.p:g}, std {transform.std}"
            yield Problem(given, "p 1, std and max_pixel_value above 0", f"{path}.{name}.std=[0.5,0.5,0.5]")


def _mean_and_std(side: Mapping[str, Transform]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Three numbers each, for pixels in [0, 1]; Albumentations' own are for pixels in [0, max_pixel_value / 255]."""
    (normalize,) = (transform for transform in side.values() if isinstance(transform, A.Normalize))
    scale = normalize.max_pixel_value / 255
    mean, std = (np.broadcast_to(np.asarray(value, float) * scale, 3) for value in (normalize.mean, normalize.std))
    return tuple(mean.tolist()), tuple(std.tolist())


def _first_difference(one: list[tuple[str, Pixels]], other: list[tuple[str, Pixels]]) -> str:
    pairs = zip(one, other, strict=True)
    return next((name for (name, first), (_, second) in pairs if not np.array_equal(first, second)), "")


def _fails(path: str, error: Exception) -> Problem:
    cause = " ".join(str(error).split())
    return Problem(f"{path} fails with {type(error).__name__}: {cause}", "settings that fit the pictures", f"~{path}")


def _not_uint8(path: str, picture: Pixels) -> Problem:
    kind = f"{picture.dtype} of shape {picture.shape}"
    return Problem(f"{path} returns {kind}", "uint8 of shape (H, W, 3); the device makes floats", f"~{path}")


def _unseeded(path: str) -> Problem:
    allowed = "draws from self.py_random and self.random_generator only, and no memory of earlier pictures"
    return Problem(f"{path} returns different pictures for equal seeds", allowed, f"~{path}")


def _varies(path: str) -> Problem:
    return Problem(f"{path} is random", "test pictures that are the same every time", f"~{path}")
