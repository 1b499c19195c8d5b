"""What a network costs those who serve it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from counterpoint.balancing import FanOut


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: How many numbers were learned, shared ones counted once. Those of a FanOut's weighting are not
            served and not counted.
        multiply_adds: Of one forward pass, a row: those of matrix products and convolutions, which are nearly all.

    Example:
        >>> cost_of(nn.Linear(3, 2), torch.zeros(8, 3))
        Cost(parameters=8, multiply_adds=6)
    """

    parameters: int
    multiply_adds: int


def cost_of(model: nn.Module, example: Tensor) -> Cost:
    """Parameters and multiply-adds of a model in evaluation; the model stays as it is.

    Args:
        model: The model.
        example: An input of any number of rows, [B, ...].

    Raises:
        ValueError: if the example has no rows.
    """
    weightings = {id(p) for part in model.modules() if isinstance(part, FanOut) for p in part.parameters()}
    parameters = sum(p.numel() for p in model.parameters() if id(p) not in weightings)
    return Cost(parameters, multiply_adds(model, example))


def multiply_adds(model: nn.Module, inputs: Any) -> int:
    """Multiply-adds of one forward pass in evaluation, a row; the model stays as it is.

    Args:
        model: The model.
        inputs: What it is called with: a tensor [B, ...].

    Raises:
        ValueError: if there are no rows.

    Example:
        >>> multiply_adds(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.zeros(8, 3))
        20
    """
    if not len(inputs):
        raise ValueError("the example has no rows, expected at least one")
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(inputs)
    finally:
        for module, training in modes:
            module.training = training
    return round(int(counter.get_total_flops()) / 2 / len(inputs))
