"""The networks that the timing benchmarks train: an encoder of three kinds, and one linear head a task."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Batch = tuple[Tensor, list[Tensor]]

CLASSES = 10


@dataclass(frozen=True)
class Encoder:
    """How to build an encoder, the shape of one of its inputs, its batch size and number of features."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    features: int


@dataclass
class Network:
    """An encoder with one linear head a task, its optimizer, and a few batches to go round."""

    encoder: nn.Module
    heads: nn.ModuleList
    optimizer: torch.optim.Optimizer
    batches: list[Batch]

    @property
    def names(self) -> list[str]:
        """One a task."""
        return [f"task{t}" for t in range(len(self.heads))]


def small_conv() -> nn.Module:
    """The model of PEERS.md: 3 x 64 x 64 -> 512 features, 4.3M parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(128 * 8 * 8, 512), nn.ReLU()),
    )


class Transformer(nn.Module):
    """Four layers of width 256 over 32 tokens, mean-pooled; 3.2M parameters."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(256, 4, dim_feedforward=1024, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, 32, 256] to [B, 256]."""
        return self.layers(tokens).mean(1)


def wide_mlp() -> nn.Module:
    """Three layers of 2048, 9.4M parameters: few activations, large gradients."""
    sizes = (512, 2048, 2048, 2048)
    layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes)]
    return nn.Sequential(*(part for layer in layers for part in layer))


ENCODERS = {
    "small_conv": Encoder(small_conv, (3, 64, 64), 32, 512),
    "transformer": Encoder(Transformer, (32, 256), 16, 256),
    "wide_mlp": Encoder(wide_mlp, (512,), 64, 2048),
}


def build_network(tasks: int, encoder: str = "small_conv", seed: int = 0) -> Network:
    torch.manual_seed(seed)
    kind = ENCODERS[encoder]
    body, heads = kind.build(), nn.ModuleList(nn.Linear(kind.features, CLASSES) for _ in range(tasks))
    optimizer = torch.optim.SGD([*body.parameters(), *heads.parameters()], lr=0.01)
    size = (kind.batch, *kind.shape)
    batches = [(torch.randn(size), list(torch.randint(CLASSES, (tasks, kind.batch)).unbind())) for _ in range(4)]
    return Network(body, heads, optimizer, batches)


def head_losses(heads: nn.ModuleList, features: Tensor | Sequence[Tensor], labels: list[Tensor]) -> list[Tensor]:
    """Cross-entropies, or the loss that a head brings along."""
    per_task = [features] * len(heads) if isinstance(features, Tensor) else features
    return [
        getattr(head, "loss", cross_entropy)(head(z), y) for head, z, y in zip(heads, per_task, labels, strict=True)
    ]
