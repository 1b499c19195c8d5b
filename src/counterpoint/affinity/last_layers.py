"""The end of an encoder, where first-order affinity costs next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def last_layers(encoder: nn.Module, count: int = 1) -> list[Tensor]:
    """Parameters of the last layers of an encoder, to hand to a meter as ``shared``.

    A task's gradient at the last shared layer takes no pass through the layers before it, so that ``"first-order"``
    costs little more than ``"features"``, and it compares what ``"features"`` cannot: rows of a batch with each other.
    How well it stands for the whole encoder is measured in ``benchmarks/affinity.py``.

    Args:
        encoder: The shared part of the network. Its layers are the modules that hold parameters of their own, in the
            order in which they were registered, which for most encoders is the order in which they run.
        count: How many of them.

    Returns:
        The parameters that require gradients.

    Raises:
        ValueError: for a count below 1, or an encoder without parameters to train.

    Example:
        >>> from torch import nn
        >>> encoder = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())
        >>> [tuple(parameter.shape) for parameter in last_layers(encoder)]
        [(4, 8), (4,)]
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1 layer")
    layers = [
        [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        for module in encoder.modules()
    ]
    layers = [layer for layer in layers if layer]
    if not layers:
        raise ValueError("the encoder holds no parameter that requires grad, expected at least one layer to train")
    return [parameter for layer in layers[-count:] for parameter in layer]
