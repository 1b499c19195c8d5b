"""Which optimizer trains, and how its learning rate goes down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch.nn import Parameter

OptimizerName = Literal["adam", "sgd"]
LR = 1e-3


@dataclass(frozen=True)
class Optimization:
    """Adam or SGD, and a learning rate that is multiplied by the same number every few epochs.

    Attributes:
        name: ``"adam"`` or ``"sgd"``.
        lr: Learning rate of the first epoch.
        momentum: Of SGD; Adam has its own, 0.9 and 0.999.
        weight_decay: Added to gradients, times the parameters: an L2 penalty of half of it.
        decay: What the learning rate is multiplied by every ``decay_every`` epochs. Sener & Koltun 2018 halve it every
            30 (their code: 0.85 every 10); work on NYUv2 since Liu, Johns and Davison 2019 halves it every 100.
        decay_every: Epochs; ``None`` to keep the learning rate.

    Raises:
        ValueError: for another name, or a number that makes no sense.

    Example:
        >>> halved = Optimization("sgd", lr=0.1, decay=0.5, decay_every=30)
        >>> [halved.lr_at(epoch) for epoch in (0, 29, 30, 60)]
        [0.1, 0.1, 0.05, 0.025]
    """

    name: OptimizerName = "adam"
    lr: float = LR
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: float = 1.0
    decay_every: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(OptimizerName):
            raise ValueError(f"optimizer is {self.name!r}, expected one of {list(get_args(OptimizerName))}")
        for name in ("lr", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is {self.momentum}, expected 0 or more and less than 1")
        if not 0 < self.decay < math.inf:
            raise ValueError(f"decay is {self.decay}, expected a positive number such as 0.5")
        if self.decay_every is None and self.decay != 1.0:
            raise ValueError(f"decay is {self.decay} and decay_every is None, expected epochs: decay_every=30")
        if self.decay_every is not None and self.decay_every < 1:
            raise ValueError(f"decay_every is {self.decay_every}, expected at least 1 epoch, or None")

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0: of nothing else, so that a resumed training has the same."""
        return self.lr if self.decay_every is None else self.lr * self.decay ** (epoch // self.decay_every)

    def optimizer(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """The optimizer, on all parameters at once where PyTorch can: small networks have small steps."""
        own = list(parameters)
        fused = all(each.device.type in {"cpu", "cuda"} and each.is_floating_point() for each in own)
        if self.name == "sgd":
            return torch.optim.SGD(own, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=fused)
        return torch.optim.Adam(own, lr=self.lr, weight_decay=self.weight_decay, fused=fused)


def one_optimization(lr: float, optimization: Optimization | None) -> Optimization:
    """What trains, where a learning rate may be given alone, as in :class:`~counterpoint.training.MultiTaskModule`.

    Raises:
        ValueError: for two learning rates.

    Example:
        >>> one_optimization(0.01, None).lr, one_optimization(LR, Optimization(lr=0.1)).lr
        (0.01, 0.1)
    """
    if optimization is None:
        return Optimization(lr=lr)
    if lr not in {LR, optimization.lr}:
        raise ValueError(
            f"lr is {lr} and optimization says {optimization.lr}, expected one of them: Optimization(lr=...)"
        )
    return optimization
