"""What can be asked of `explain`: the methods by name, and the layers of a network."""

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import nn

from ablate.errors import Problem
from ablate.explain.observe import unwrapped

METHODS: Mapping[str, str] = MappingProxyType(
    {  # name -> class of pytorch-grad-cam
        "gradcam": "GradCAM",  # Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391
        "hirescam": "HiResCAM",  # Draelos and Carin 2020, https://arxiv.org/abs/2011.08891
        "gradcam++": "GradCAMPlusPlus",  # Chattopadhyay et al. 2017, https://arxiv.org/abs/1710.11063
        "xgradcam": "XGradCAM",  # Fu et al. 2020, https://arxiv.org/abs/2008.02312
        "layercam": "LayerCAM",  # Jiang et al. 2021, https://ieeexplore.ieee.org/document/9462463
        "eigencam": "EigenCAM",  # Muhammad and Yeasin 2020, https://arxiv.org/abs/2008.00299; knows no class
        "scorecam": "ScoreCAM",  # Wang et al. 2019, https://arxiv.org/abs/1910.01279
        "ablationcam": "AblationCAM",  # Desai and Ramaswamy 2020, https://doi.org/10.1109/WACV45572.2020.9093360
        "randomcam": "RandomCAM",  # random channel weights: the baseline that a method has to beat
    }
)
ADDING_UP = ("gradcam", "hirescam")  # at the last block their cells add up to the logit
SLOW = frozenset({"scorecam", "ablationcam"})  # a forward pass for every channel of every picture: seconds a picture


def layer_names(net: nn.Module) -> list[str]:
    """The parts of the network that a map is usually wanted of, in order: those with a convolution inside, if any."""
    parts = dict(unwrapped(net).named_children())
    with_maps = [name for name, part in parts.items() if any(isinstance(m, nn.Conv2d) for m in part.modules())]
    return with_maps or list(parts)


def method_problems(method: str, key: str = "method", training: bool = False) -> list[Problem]:
    """What is wrong with a method's name. `key`: its config path. The slow ones have to wait until after training."""
    fast = [name for name in METHODS if not (training and name in SLOW)]
    if method in fast:
        return []
    if method in METHODS:
        given = f"{key}={method}, which takes seconds a picture (a forward pass for every channel)"
        later = f"{key}=gradcam, and when the run is done: python -m ablate explain RUN --method {method}"
        return [Problem(given, f"while training, one of {', '.join(fast)}", later)]
    near = difflib.get_close_matches(method, fast, n=1, cutoff=0.4) or ["gradcam"]
    return [Problem(f"{key}={method}", f"one of {', '.join(fast)}", f"{key}={near[0]}")]


def layer_problems(net: nn.Module, layers: Sequence[str] | str, key: str = "layers") -> list[Problem]:
    """What is wrong with the names of layers, or with the name of a single one. `key`: its config path or option."""
    known = layer_names(net)
    modules = dict(unwrapped(net).named_modules())
    single, option = isinstance(layers, str), key.startswith("--")

    def to_type(layer: str) -> str:
        return f"{key} {layer}" if option else f"{key}={layer}" if single else f"{key}=[{layer}]"

    if not known:
        given = f"{key}: {type(unwrapped(net)).__name__} has no part that could be looked at"
        fix = f"leave {key} out" if option else f"~{key.rpartition('.')[0]}"
        return [Problem(given, "a network of named parts", fix)]
    found = []
    for layer in [layers] if isinstance(layers, str) else layers:
        if layer in modules and layer:
            continue
        near = (difflib.get_close_matches(layer, known, n=1, cutoff=0.4) or known[-1:])[0]
        found.append(
            Problem(
                f"{key}={layer}" if single else f"{key} has {layer!r}",
                f"a part of {type(unwrapped(net)).__name__}: {', '.join(known)}, or deeper, such as {known[-1]}.0",
                to_type(near),
            )
        )
    if not layers:
        found.append(Problem(f"{key}=[]", f"some of {', '.join(known)}", to_type(known[-1])))
    return found
