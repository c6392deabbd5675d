"""Class activation maps.  N pictures, K classes, C channels, h x w cells of a layer.

The methods are pytorch-grad-cam's own. Its front door scales every map to [0, 1] and to the picture's size, which
makes two networks look equally sure: here a map stays at the layer's size and in the units of the logits.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ablate.errors import Problem, UserError
from ablate.explain.methods import METHODS, SLOW, layer_names, layer_problems, method_problems
from ablate.explain.observe import outputs_of, private_copy

FloatArray = npt.NDArray[np.float32]

_CHUNK = 64  # pictures explained at once; bounds the memory


@dataclass(frozen=True)
class Explanation:
    """What spoke for `classes` in N pictures.

    `maps[layer]`: (N, h, w), un-rectified: what is below 0 spoke against the class. For `gradcam` and `hirescam` at the
    last block of a network that ends in mean pooling and one linear layer, the sum over the cells is the logit
    without its bias (`completeness` measures how exactly); elsewhere only the order of the values has a meaning.
    """

    method: str
    classes: npt.NDArray[np.int64]  # (N,)
    logits: FloatArray  # (N, K)
    maps: Mapping[str, FloatArray]


def explain(
    net: nn.Module,
    images: Tensor,
    classes: Tensor | Sequence[int],
    layers: Sequence[str],
    method: str = "gradcam",
    seed: int = 0,
) -> Explanation:
    """Maps of the evidence for `classes` (N,) in normalised `images` (N, 3, H, W), for each of `layers`.

    `layers` are names as in `net.named_modules()`. `seed` matters to `randomcam` alone. Nothing is touched: not the
    network's weights, gradients, modes or hooks, no random generator, and no autocast or inference mode around.
    """
    class_index = np.asarray(torch.as_tensor(classes).cpu(), dtype=np.int64)
    assert class_index.shape == (len(images),), "one class a picture"
    UserError.raise_all([*method_problems(method), *layer_problems(net, layers)])
    size = 1 if method in SLOW else _CHUNK
    logits: list[FloatArray] = []
    maps: dict[str, list[FloatArray]] = {layer: [] for layer in layers}
    with private_copy(net) as twin:
        np.random.seed(seed)  # RandomCAM draws from NumPy's global generator, which is put back
        for start in range(0, len(images), size):
            chunk = slice(start, start + size)
            part, part_logits = _explain(twin, images[chunk], class_index[chunk], layers, method)
            logits.append(part_logits)
            for layer in layers:
                maps[layer].append(part[layer])
    joined = {layer: np.concatenate(parts) for layer, parts in maps.items()}
    return Explanation(method, class_index, np.concatenate(logits), joined)


def check_layers(net: nn.Module, images: Tensor, layers: Sequence[str]) -> None:
    """Raise `UserError` for layers without maps to show. A forward pass, and not the slow import of `explain`."""
    with private_copy(net) as twin:
        modules = {layer: twin.get_submodule(layer) for layer in layers}
        with outputs_of(modules) as outputs:
            twin(_own(images, twin))
    _check(twin, layers, outputs)


def completeness(net: nn.Module, images: Tensor, explanation: Explanation, layer: str) -> FloatArray:
    """How far each picture's map is from adding up to its logit: (N,), in logits; 0 but for rounding where it holds.

    The sum over the cells of `layer`'s un-rectified map, plus what the network answers when that layer is all zero
    (the bias of the head), minus the logit. It holds for `gradcam` and `hirescam` at the last block if everything
    behind it is linear.
    """
    with private_copy(net) as twin, torch.no_grad():
        handle = twin.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: output.zero_())
        at_zero = _numpy(twin(_own(images[:1], twin))[0])
        handle.remove()
    rows = np.arange(len(explanation.classes))
    total = explanation.maps[layer].sum(axis=(1, 2), dtype=np.float64)
    expected = explanation.logits[rows, explanation.classes] - at_zero[explanation.classes]
    residual: FloatArray = (total - expected).astype(np.float32)
    return residual


def predict(net: nn.Module, images: Tensor) -> FloatArray:
    """Logits (N, K) of the network in eval mode and float32."""
    with private_copy(net) as twin, torch.no_grad():
        parts = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
        return np.concatenate([_numpy(twin(_own(part, twin))) for part in parts])


def _explain(
    twin: nn.Module, images: Tensor, classes: npt.NDArray[np.int64], layers: Sequence[str], method: str
) -> tuple[dict[str, FloatArray], FloatArray]:
    import pytorch_grad_cam  # late: it costs a second or more
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    modules = [twin.get_submodule(layer) for layer in layers]
    cam = getattr(pytorch_grad_cam, METHODS[method])(twin, modules)
    cam.activations_and_grads.release()  # its hooks list outputs in the order of execution, not of `layers`
    images = _own(images, twin)
    with outputs_of(dict(zip(layers, modules, strict=True))) as outputs:
        logits = twin(images)
    _check(twin, layers, outputs)
    gradients: Sequence[Any] = [None] * len(layers)
    if cam.uses_gradients:
        score = logits.gather(1, torch.as_tensor(classes, device=logits.device)[:, None]).sum()
        gradients = [
            _numpy(gradient) for gradient in torch.autograd.grad(score, [outputs[layer][0] for layer in layers])
        ]
    cam.outputs = logits
    targets = [ClassifierOutputTarget(int(c)) for c in classes]
    maps: dict[str, FloatArray] = {}
    scores = _numpy(logits)[np.arange(len(classes)), classes]
    for layer, module, gradient in zip(layers, modules, gradients, strict=True):
        with _without_progress_bar(cam):
            signed = cam.get_cam_image(images, module, targets, _numpy(outputs[layer][0]), gradient, False)
        maps[layer] = _corrected(method, np.asarray(signed, np.float32), scores)
    return maps, _numpy(logits)


def _corrected(method: str, maps: FloatArray, scores: FloatArray) -> FloatArray:
    """The two methods whose sign is not the one that their paper means. maps (N, h, w), scores (N,) are logits."""
    if method == "eigencam":
        # A principal component has no sign. Chung and Ying 2025, https://doi.org/10.3390/app15137562, equation 13.
        flip = -maps.min(axis=(1, 2)) > maps.max(axis=(1, 2))
    elif method == "ablationcam":
        flip = scores < 0  # its weights are drops divided by the logit
    else:
        return maps
    return np.where(flip[:, None, None], -maps, maps)


def _check(net: nn.Module, layers: Sequence[str], outputs: Mapping[str, list[Any]]) -> None:
    found = []
    for layer in layers:
        shapes = [tuple(o.shape) if isinstance(o, Tensor) else type(o).__name__ for o in outputs[layer]]
        if len(shapes) == 1 and len(shapes[0]) == 4:
            continue
        known = layer_names(net)
        allowed = f"one that is computed once and gives (N, C, h, w), such as {', '.join(known)}"
        found.append(Problem(f"layer {layer!r}, which gives {shapes or 'nothing'}", allowed, f"layers=[{known[-1]}]"))
    UserError.raise_all(found)


@contextmanager
def _without_progress_bar(cam: Any) -> Iterator[None]:
    """The slow methods draw a progress bar for every picture."""
    module: Any = sys.modules[type(cam).__module__]
    if not hasattr(module, "tqdm"):
        yield
        return
    bar, module.tqdm = module.tqdm, SimpleNamespace(tqdm=lambda steps: steps)
    try:
        yield
    finally:
        module.tqdm = bar


def _own(images: Tensor, twin: nn.Module) -> Tensor:
    """A float32 copy on the network's device: a tensor made under inference mode can take no part in a gradient."""
    return images.detach().to(next(twin.parameters()).device, torch.float32, copy=True)


def _numpy(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().cpu().numpy()
    return array
