"""The networks' published sizes and shapes."""

import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d
from ablate.model.resnet import DEPTHS, gbn_resnet, resnet


def num_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_resnet18_has_the_size_the_assignment_printed():
    assert num_parameters(gbn_resnet(18, num_classes=10)) == 11_173_962


@pytest.mark.parametrize("depth", DEPTHS)
def test_each_depth_differs_from_torchvision_in_the_stem_alone(depth):
    with torch.device("meta"):
        ours, theirs = resnet(depth, num_classes=1000), getattr(torchvision.models, f"resnet{depth}")()
    stem = 64 * 3 * (7 * 7 - 3 * 3)  # a 7 x 7 convolution there, 3 x 3 here
    assert num_parameters(theirs) - num_parameters(ours) == stem


def test_layers_work_at_full_half_quarter_and_eighth_size():
    net, shapes = gbn_resnet(18, num_classes=7, width=4), {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        hook = lambda _module, _inputs, out, name=name: shapes.__setitem__(name, tuple(out.shape))  # noqa: E731
        net.get_submodule(name).register_forward_hook(hook)
    assert net.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert shapes == {
        "layer1": (2, 4, 32, 32),
        "layer2": (2, 8, 16, 16),
        "layer3": (2, 16, 8, 8),
        "layer4": (2, 32, 4, 4),
    }


def test_every_norm_is_the_one_handed_in():
    net = gbn_resnet(50, num_classes=10, width=4, ghost_size=16)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 53
    assert all(isinstance(m, GhostBatchNorm2d) and m.ghost_size == 16 for m in norms)


def test_ghost_and_plain_networks_load_each_other():
    ghost, plain = gbn_resnet(18, num_classes=10, width=4), resnet(18, num_classes=10, width=4)
    plain.load_state_dict(ghost.state_dict())
    x = torch.randn(3, 3, 32, 32)
    assert torch.equal(ghost.eval()(x), plain.eval()(x))


def test_an_unknown_depth_is_named():
    with pytest.raises(ValueError, match="depth=19: must be one of 18, 34, 50, 101, 152"):
        resnet(19, num_classes=10)


def test_the_shortcut_is_a_strided_convolution():
    shortcut = resnet(18, num_classes=10, width=16).layer2[0].shortcut
    shortcut.norm = nn.Identity()
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(shortcut(x), nn.functional.conv2d(x, shortcut.conv.weight, stride=2))


def test_a_narrow_network_survives_a_ragged_batch_in_channels_last():
    # A strided 1 x 1 convolution of few channels corrupts the heap there: it would kill the process.
    program = """
import torch
from ablate.model.resnet import resnet
net = resnet(18, num_classes=10, width=4).to(memory_format=torch.channels_last)
for _ in range(60):
    x = torch.randn(13, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    net(x).sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
