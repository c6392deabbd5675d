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
SLOW = frozenset({"scorecam", "ablationcam"})  # a forward pass for every channel of every picture: seconds a picture


def layer_names(net: nn.Module) -> list[str]:
    """The parts of the network that a map is usually wanted of: its children with a convolution inside, in order."""
    children = unwrapped(net).named_children()
    return [name for name, child in children if any(isinstance(m, nn.Conv2d) for m in child.modules())]


def problems(
    net: nn.Module, layers: Sequence[str], method: str, key: str = "", training: bool = False
) -> list[Problem]:
    """Everything wrong with a request. `key`: its config path, such as "callbacks.gradcam."; slow ones can wait."""
    found = []
    fast = [name for name in METHODS if not (training and name in SLOW)]
    if method not in METHODS:
        near = difflib.get_close_matches(method, fast, n=1, cutoff=0.4) or ["gradcam"]
        found.append(Problem(f"{key}method={method}", f"one of {', '.join(fast)}", f"{key}method={near[0]}"))
    elif method not in fast:
        found.append(
            Problem(
                f"{key}method={method}, which takes seconds a picture (a forward pass for every channel)",
                f"while training, one of {', '.join(fast)}",
                f"{key}method=gradcam, and when the run is done: python -m ablate explain RUN --method {method}",
            )
        )
    known = layer_names(net)
    modules = dict(unwrapped(net).named_modules())
    for layer in layers:
        if layer not in modules or not layer:
            near = difflib.get_close_matches(layer, known, n=1, cutoff=0.4) or known[-1:]
            found.append(
                Problem(
                    f"{key}layers has {layer!r}, which is no part of {type(unwrapped(net)).__name__}",
                    f"{', '.join(known)}, or a part of one, such as {known[-1]}.0",
                    f"{key}layers=[{near[0]}]",
                )
            )
    if not layers:
        found.append(Problem(f"{key}layers=[]", f"some of {', '.join(known)}", f"{key}layers=[{known[-1]}]"))
    return found
