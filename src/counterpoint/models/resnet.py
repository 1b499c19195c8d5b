"""Residual networks as encoders of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.models.convolution import Convolution
from counterpoint.models.residual import BasicBlock, Bottleneck
from counterpoint.names import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Output = Literal["pooled", "map", "scales"]
Stem = Literal["imagenet", "small"]

BLOCKS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),  # He et al. 2016, Table 1
    50: (Bottleneck, (3, 4, 6, 3)),
}
# Of ImageNet's images, which published weights expect to be taken off.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class ResNet(nn.Module):
    """A residual network without its classifier (`He et al. 2016 <https://arxiv.org/abs/1512.03385>`_).

    Parameters are named as torchvision's, and the stride of a bottleneck is in its 3 x 3 convolution as there:
    ``ResNet(50).load_state_dict(weights, strict=False)`` takes torchvision's weights and leaves out ``fc``. So do
    dilated ones: a stride becomes the dilation of what follows (`Yu & Koltun 2016
    <https://arxiv.org/abs/1511.07122>`_), and every convolution sees the pixels that it was trained to see.

    For 40 attributes of faces, Sener & Koltun 2018 use ``ResNet(18, stem="small", grid=2)`` on 64 x 64 pixels; for
    three tasks on scenes, ``ResNet(50, dilated=True, output="map")`` with pretrained weights (their published code).

    Args:
        depth: 18 (basic blocks) or 50 (bottlenecks).
        dilated: Whether the last two stages dilate instead of striding: maps of an eighth of the image's size in place
            of 1/32.
        inputs: Channels of the image.
        width: Channels of the first stage, before a bottleneck's expansion by 4; each stage doubles them.
        output: ``"pooled"`` means over the image, [B, channels]; the last stage's ``"map"``, [B, channels, H / stride,
            W / stride]; or the maps of all four ``"scales"``, fine to coarse.
        stem: ``"imagenet"`` shrinks the image to a quarter by a 7 x 7 convolution and a maximum; ``"small"`` keeps its
            size by a 3 x 3 convolution, for small images, as He et al. do for CIFAR-10 (Section 4.2).
        grid: For ``"pooled"``: in how many rows and columns of cells the image is averaged.
        normalize: Whether images are in [0, 1] and ImageNet's mean and deviation are to be taken off.

    Attributes:
        channels: What leaves: a number, or one for each of the scales.
        stride: How many of the image's pixels lie between two of the map's: a number, or one for each of the scales.

    Raises:
        ValueError: for another depth, output or stem, a grid below 1, or ``normalize`` with images that are not RGB.

    Example:
        >>> encoder = ResNet(18, width=8, output="scales")
        >>> [tuple(scale.shape) for scale in encoder(torch.zeros(1, 3, 64, 96))]
        [(1, 8, 16, 24), (1, 16, 8, 12), (1, 32, 4, 6), (1, 64, 2, 3)]
        >>> encoder.channels, encoder.stride
        ((8, 16, 32, 64), (4, 8, 16, 32))
    """

    def __init__(
        self,
        depth: int = 18,
        *,
        dilated: bool = False,
        inputs: int = 3,
        width: int = 64,
        output: Output = "pooled",
        stem: Stem = "imagenet",
        grid: int = 1,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        _check(depth, output, stem, grid)
        if normalize and inputs != len(MEAN):
            raise ValueError(f"normalize with inputs={inputs}, expected RGB images: inputs=3")
        block, lengths = BLOCKS[depth]
        self.output, self.grid = output, grid
        # Constants: no part of the weights, which are torchvision's.
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] if normalize else None, persistent=False)
        self.register_buffer("std", torch.tensor(DEVIATION)[:, None, None] if normalize else None, persistent=False)
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = Convolution(inputs, width, kernel, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        entering, total, dilation = width, stride**2, 1
        channels, strides = [], []
        for stage, length in enumerate(lengths):
            step = 1 if stage == 0 else 2
            before = dilation
            if dilated and stage >= 2:
                step, dilation = 1, 2 * dilation
            wide = width << stage
            # What would have strided sees pixels at their old distance.
            blocks = [block(entering, wide, stride=step, dilation=(before, dilation))]
            entering, total = wide * block.expansion, total * step
            blocks += [block(entering, wide, dilation=(dilation, dilation)) for _ in range(length - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            channels.append(entering)
            strides.append(total)
        self.channels: int | tuple[int, ...] = tuple(channels)
        self.stride: int | tuple[int, ...] = tuple(strides)
        if output != "scales":
            self.channels, self.stride = channels[-1] * (grid**2 if output == "pooled" else 1), strides[-1]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Images [B, inputs, H, W] to features, see ``output``.

        Raises:
            ValueError: if the images are not of this form.
        """
        if x.ndim != 4 or x.shape[1] != self.conv1.in_channels:
            raise ValueError(f"images have shape {list(x.shape)}, expected [B, {self.conv1.in_channels}, H, W]")
        if isinstance(self.mean, Tensor) and isinstance(self.std, Tensor):
            x = (x - self.mean) / self.std
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x)), inplace=True))
        scales = tuple(self._scales(x))
        if self.output == "scales":
            return scales
        if self.output == "map":
            return scales[-1]
        return functional.adaptive_avg_pool2d(scales[-1], self.grid).flatten(1)

    def _scales(self, x: Tensor) -> Iterator[Tensor]:
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            yield x


def _check(depth: int, output: str, stem: str, grid: int) -> None:
    for name, given, known in (
        ("depth", depth, tuple(BLOCKS)),
        ("output", output, get_args(Output)),
        ("stem", stem, get_args(Stem)),
    ):
        one_of(name, given, known)
    if grid < 1:
        raise ValueError(f"grid is {grid}, expected at least 1")
