"""ResNets for small pictures.  N pictures, w = width, H x W pixels.

Source: He, Zhang, Ren and Sun 2015, https://arxiv.org/abs/1512.03385. Differs from the ImageNet networks of section
4.1 in the stem: one 3 x 3 convolution of stride 1 and no max-pool, so that a 32 x 32 picture keeps 4 x 4 positions
in `layer4`. The normalisation layer is handed in as a value.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from ablate.model.ghost_batch_norm import GhostBatchNorm2d

Norm = Callable[[int], nn.Module]  # channels -> a layer that keeps (N, C, H, W)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut: (N, c_in, H, W) -> (N, channels, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, c_in: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _conv(c_in, channels, 3, stride)
        self.bn1 = norm(channels)
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = norm(channels)
        self.shortcut = _shortcut(c_in, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        out: Tensor = (y + self.shortcut(x)).relu()
        return out


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 around a shortcut: (N, c_in, H, W) -> (N, 4 * channels, H / stride, W / stride).

    The stride sits on the 3 x 3 convolution, as in torchvision; the paper has it on the first 1 x 1.
    """

    expansion = 4

    def __init__(self, c_in: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        c_out = channels * self.expansion
        self.conv1 = _conv(c_in, channels, 1)
        self.bn1 = norm(channels)
        self.conv2 = _conv(channels, channels, 3, stride)
        self.bn2 = norm(channels)
        self.conv3 = _conv(channels, c_out, 1)
        self.bn3 = norm(c_out)
        self.shortcut = _shortcut(c_in, c_out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        out: Tensor = (y + self.shortcut(x)).relu()
        return out


class ResNet(nn.Module):
    """pictures (N, 3, H, W) float -> logits (N, num_classes).

    `layer1` to `layer4` work at 1, 1/2, 1/4 and 1/8 of the input's height and width; `fc` is the head. ResNet-18 with
    width 64 and 10 classes has 11,173,962 parameters.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks_per_layer: tuple[int, int, int, int],
        *,
        num_classes: int,
        width: int = 64,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.conv1 = _conv(3, width, 3)
        self.bn1 = norm(width)
        c = [width * block.expansion * 2**i for i in range(4)]  # channels out of each layer
        self.layer1 = _layer(block, blocks_per_layer[0], width, width, 1, norm)
        self.layer2 = _layer(block, blocks_per_layer[1], c[0], 2 * width, 2, norm)
        self.layer3 = _layer(block, blocks_per_layer[2], c[1], 4 * width, 2, norm)
        self.layer4 = _layer(block, blocks_per_layer[3], c[2], 8 * width, 2, norm)
        self.fc = nn.Linear(c[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, https://arxiv.org/abs/1502.01852
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()  # (N, w, H, W)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, 8w * expansion, H / 8, W / 8)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def resnet(depth: int, *, num_classes: int, width: int = 64, norm: Norm = nn.BatchNorm2d) -> ResNet:
    """The network of table 1 with `depth` layers: 18, 34, 50, 101 or 152. `width`: channels of `layer1`, >= 1."""
    if depth not in DEPTHS:
        raise ValueError(f"depth={depth}: must be one of {', '.join(map(str, DEPTHS))}")
    block, blocks_per_layer = DEPTHS[depth]
    return ResNet(block, blocks_per_layer, num_classes=num_classes, width=width, norm=norm)


def gbn_resnet(depth: int, *, num_classes: int, width: int = 64, ghost_size: int = 32) -> ResNet:
    """`resnet` with ghost batch norm of `ghost_size` samples (>= 2) in place of batch norm."""
    norm = partial(GhostBatchNorm2d, ghost_size=ghost_size)
    return resnet(depth, num_classes=num_classes, width=width, norm=norm)


def _conv(c_in: int, c_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, size, stride, padding=size // 2, bias=False)


def _shortcut(c_in: int, c_out: int, stride: int, norm: Norm) -> nn.Module:
    """The identity, or a 1 x 1 convolution where size or channels change (option B of the paper).

    The stride is taken by a pooling of one pixel, which picks the same pixels as a strided convolution would: that one
    writes past the end of its memory on a CPU, for fewer than 16 channels in channels-last (torch 2.15, oneDNN).
    """
    if stride == 1 and c_in == c_out:
        return nn.Identity()
    steps = {"pick": nn.AvgPool2d(1, stride)} if stride > 1 else {}
    return nn.Sequential(OrderedDict(steps, conv=_conv(c_in, c_out, 1), norm=norm(c_out)))


def _layer(
    block: type[BasicBlock] | type[Bottleneck], num_blocks: int, c_in: int, channels: int, stride: int, norm: Norm
) -> nn.Sequential:
    first = block(c_in, channels, stride, norm)
    c_out = channels * block.expansion
    return nn.Sequential(first, *(block(c_out, channels, 1, norm) for _ in range(num_blocks - 1)))
