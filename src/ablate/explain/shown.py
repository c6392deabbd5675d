"""What a panel shows: a picture, what the network said of it, and what spoke for that.  N pictures, K classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ablate.explain.maps import Explanation, explain, predict

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """One picture with its answer, and the evidence for one class or more.

    `label` is None for a picture of unknown class. `evidence[class][layer]`: (h, w), un-rectified, as from `explain`.
    """

    pixels: npt.NDArray[np.uint8]  # (H, W, 3), RGB
    label: int | None
    probabilities: FloatArray  # (K,)
    evidence: Mapping[int, Mapping[str, FloatArray]]

    @property
    def predicted(self) -> int:
        return int(self.probabilities.argmax())


def show(
    net: nn.Module,
    pixels: npt.NDArray[np.uint8],
    images: Tensor,
    classes: Sequence[Sequence[int]] | None,
    labels: Sequence[int] | None,
    layers: Sequence[str],
    method: str = "gradcam",
) -> tuple[list[Shown], Explanation]:
    """Pictures (N, H, W, 3), the same normalised as `images` (N, 3, H, W), and evidence for some classes of each.

    `classes` None: the evidence for the label, and for the predicted class where it is another.
    The explanation has a row for each class of each picture, in order.
    """
    probabilities = softmax(predict(net, images))
    if classes is None:
        predicted = [int(k) for k in probabilities.argmax(1)]
        truth = predicted if labels is None else labels
        classes = [[int(a)] if a == b else [int(a), b] for a, b in zip(truth, predicted, strict=True)]
    picture_of = [i for i, several in enumerate(classes) for _ in several]
    class_of = [k for several in classes for k in several]
    explanation = explain(net, images[picture_of], class_of, layers, method)
    evidence: list[dict[int, dict[str, FloatArray]]] = [{} for _ in classes]
    for row, (i, k) in enumerate(zip(picture_of, class_of, strict=True)):
        evidence[i][k] = {layer: explanation.maps[layer][row] for layer in layers}
    return [
        Shown(pixels[i], None if labels is None else int(labels[i]), probabilities[i], evidence[i])
        for i in range(len(pixels))
    ], explanation


def shared_scale(many: Sequence[Shown]) -> dict[str, float]:
    """layer -> the largest value in any of its maps."""
    scale: dict[str, float] = {}
    for shown in many:
        for maps in shown.evidence.values():
            for layer, values in maps.items():
                scale[layer] = max(scale.get(layer, 0.0), float(values.max()))
    return scale


def softmax(logits: FloatArray) -> FloatArray:
    """(N, K) -> (N, K)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
