"""The networks of the papers' experiments on images, at the size that two cores train: SETTINGS, and how to build one.

Encoders keep their depth and width, so that they outweigh heads as they do in the papers; images and batches are
smaller. `reduced` says by how much, against Sener & Koltun's published code (Cityscapes: 256 x 512 pixels; CelebA: 64 x
64 pixels, batches of 256). Inputs and targets are random: a step's time does not depend on
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss

from counterpoint.models import ASPPHead, ConvHead, LinearHead, PyramidHead, ResNet, UNet
from networks import Network

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = 19
DENSE = {"segmentation": CLASSES, "offsets": 2, "depth": 1}


@dataclass(frozen=True)
class Setting:
    """An encoder, the head of each task from its number of outputs, and what goes in."""

    encoder: Callable[[], nn.Module]
    head: Callable[[int], nn.Module]
    outputs: tuple[int, ...]
    image: tuple[int, int]
    batch: int
    reduced: str

    @property
    def dense(self) -> bool:
        """Whether targets are maps."""
        return len(self.outputs) == len(DENSE)


dilated = partial(ResNet, 50, dilated=True, output="map")
SETTINGS = {
    "3 dense tasks, dilated ResNet-50, ASPP heads": Setting(
        dilated,
        partial(ASPPHead, 2048, hidden=64, factor=8),
        tuple(DENSE.values()),
        (64, 128),
        4,
        "images of 64 x 128 pixels in place of 256 x 512, batches of 4, heads of 64 channels in place of 512",
    ),
    "3 dense tasks, dilated ResNet-50, pyramid heads": Setting(
        dilated,
        partial(PyramidHead, 2048, factor=8),
        tuple(DENSE.values()),
        (64, 128),
        2,
        "images of 64 x 128 pixels in place of 256 x 512, batches of 2; the published heads",
    ),
    "3 dense tasks, UNet": Setting(
        partial(UNet, widths=(16, 32, 64)),
        partial(ConvHead, 16, hidden=16),
        tuple(DENSE.values()),
        (64, 128),
        8,
        "in no paper; this project's small encoder for scenes of its own",
    ),
    "40 attributes, ResNet-18": Setting(
        partial(ResNet, 18, stem="small", grid=2),
        partial(LinearHead, 2048),
        (1,) * 40,
        (64, 64),
        6,
        "batches of 6 in place of 256",
    ),
}


def build(setting: Setting) -> Network:
    """The network with its optimizer and two batches to go round."""
    torch.manual_seed(0)
    heads = nn.ModuleList(setting.head(outputs) for outputs in setting.outputs)
    losses: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (cross_entropy, l1_loss, l1_loss)
    if not setting.dense:
        losses = (binary_cross_entropy_with_logits,) * len(heads)
    for head, loss in zip(heads, losses, strict=True):
        head.loss = loss
    encoder = setting.encoder()
    optimizer = torch.optim.SGD([*encoder.parameters(), *heads.parameters()], lr=1e-4)
    batches = [(torch.rand(setting.batch, 3, *setting.image), _targets(setting)) for _ in range(2)]
    return Network(encoder, heads, optimizer, batches)


def _targets(setting: Setting) -> list[Tensor]:
    size = setting.batch
    if setting.dense:
        maps = [torch.rand(size, outputs, *setting.image) for outputs in setting.outputs[1:]]
        return [torch.randint(CLASSES, (size, *setting.image)), *maps]
    return [torch.randint(2, (size, 1)).float() for _ in setting.outputs]
