"""The checks of a trust card: what each one finds for a method at a layer, against what chance would do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ablate.explain.cascade import cascade
from ablate.explain.interval import mean_interval
from ablate.explain.maps import completeness, explain
from ablate.explain.methods import ADDING_UP, layer_names
from ablate.explain.pointing import grid_pointing, mosaics_of, points_inside, upsampled
from ablate.explain.road import road

FloatArray = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

CHANCE = "randomcam"  # the same network and layer, with random weights for its channels
TRAINED_AT_MOST = 0.3  # rank correlation with the maps of a network that has learned nothing
HEAD_AT_MOST = 0.9  # rank correlation when the head alone is random: above it, the class hardly matters
FEWEST = 8  # pictures or mosaics: an interval over fewer says nothing
_ROAD_PIXELS = 64 * 32 * 32  # of all its pictures together: each is a linear system with an unknown for every pixel


@dataclass(frozen=True)
class Subject:
    """What is checked: the maps of `method` at `layer`, on N pictures."""

    net: nn.Module
    images: Tensor  # (N, 3, H, W), normalised
    labels: Index  # (N,)
    predicted: Index  # (N,)
    layer: str
    method: str
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[3]

    def maps(self, method: str, classes: Index, count: int | None = None) -> FloatArray:
        some = self.images[:count]
        return explain(self.net, some, classes[:count].tolist(), [self.layer], method, self.seed).maps[self.layer]


@dataclass(frozen=True)
class Check:
    """`passed` is None for a check that could not be done.

    `says`: what was found, or why it could not be done. `means`: what it means to fail, as said of the method.
    """

    name: str
    passed: bool | None
    says: str
    means: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


def adds_up(subject: Subject) -> Check:
    """The map's cells add up to the logit: nothing was lost between the layer and the answer."""
    name, last = "completeness", layer_names(subject.net)[-1]
    if subject.method not in ADDING_UP or subject.layer != last:
        return Check(name, None, f"only {' and '.join(ADDING_UP)} at {last} promise to add up to the logit")
    classes = subject.predicted.tolist()
    explanation = explain(subject.net, subject.images, classes, [last], subject.method)
    residual = float(np.abs(completeness(subject.net, subject.images, explanation, last)).max())
    largest = float(np.abs(explanation.logits).max())
    passed = residual <= 1e-4 * max(1.0, largest)
    how = "add up to the logit to within" if passed else "miss the logit by up to"
    says = f"its cells {how} {residual:.1g}; the largest logit is {largest:.1f}"
    means = "its cells do not add up to the logit: read their order, not their amounts"
    return Check(name, passed, says, means, {"largest_residual": residual, "largest_logit": largest})


def follows_the_weights(subject: Subject) -> Check:
    """Random weights make other maps."""
    name = "randomisation"
    if len(subject.images) < FEWEST:
        return Check(name, None, f"{len(subject.images)} pictures are too few")
    classes = subject.predicted.tolist()
    found = cascade(subject.net, subject.images, classes, subject.layer, subject.method, subject.seed)
    head, first = next(iter(found.items()))
    last = list(found.values())[-1]
    by_class, by_weights = first.high < HEAD_AT_MOST, max(abs(last.low), abs(last.high)) < TRAINED_AT_MOST
    means = "its maps hardly depend on what was learned: they show the picture, not the network"
    if by_weights:
        means = "its maps are the same whatever class is asked for"
    says = f"rank correlation with its own maps: {first} once {head} is random, {last} once all is"
    numbers = {part: interval._asdict() for part, interval in found.items()}
    return Check(name, by_class and by_weights, says, means, numbers)


def marks_what_matters(subject: Subject) -> Check:
    """ROAD: the class loses more probability without the pixels ranked first than without those ranked last."""
    name, (height, width) = "road", subject.size
    count = min(len(subject.images), _ROAD_PIXELS // (height * width))
    if len(subject.images) < FEWEST:
        return Check(name, None, f"{len(subject.images)} pictures are too few")
    if count < FEWEST:
        return Check(name, None, f"takes minutes for pictures of {width} x {height}")

    def score(method: str) -> FloatArray:
        maps = upsampled(subject.maps(method, subject.predicted, count), subject.size)
        return road(subject.net, subject.images[:count], subject.predicted[:count].tolist(), maps, subject.seed)

    means = "the pixels that it marks matter no more than those that random maps mark"
    return _against_chance(name, "ROAD score", means, subject.method, score)


def finds_its_picture(subject: Subject) -> Check:
    """Grid pointing game: of four pictures in a mosaic, the evidence for a class lies in the one that shows it."""
    name, right = "grid pointing", np.flatnonzero(subject.labels == subject.predicted)
    rng = np.random.default_rng(subject.seed)
    mosaics, classes = mosaics_of(subject.images[right], subject.labels[right], rng)
    if len(mosaics) < FEWEST:
        return Check(name, None, f"{len(mosaics)} mosaics of four rightly classified pictures are too few")

    def score(method: str) -> FloatArray:
        return grid_pointing(subject.net, mosaics, classes, subject.layer, method, subject.seed)

    means = "it does not find the picture that shows the class"
    try:
        return _against_chance(name, "evidence in its own quarter", means, subject.method, score)
    except RuntimeError as error:  # torch's, from a layer that fits one size of picture
        why = " ".join(str(error).split())[:80]
        return Check(name, None, f"the network does not take pictures of twice the size ({why})")


def points_at_the_evidence(subject: Subject, boxes: Index) -> Check:
    """Pointing game: the highest value of the map lies in the box that holds all the evidence there is."""
    if len(subject.images) < FEWEST:
        return Check("pointing game", None, f"{len(subject.images)} pictures are too few")

    def score(method: str) -> FloatArray:
        return points_inside(subject.maps(method, subject.labels), boxes, subject.size).astype(np.float32)

    means = "it does not point at the known evidence"
    return _against_chance("pointing game", "maxima inside the box", means, subject.method, score)


def _against_chance(name: str, what: str, means: str, method: str, score: Callable[[str], FloatArray]) -> Check:
    """Passed when the 95 % interval of the paired difference to random maps lies above zero."""
    own, chance = score(method), score(CHANCE)
    found = {"own": mean_interval(own), "chance": mean_interval(chance), "difference": mean_interval(own - chance)}
    says = f"{what}: {found['own']}, random maps {found['chance']}"
    numbers = {key: each._asdict() for key, each in found.items()}
    return Check(name, found["difference"].low > 0, says, means, numbers)
