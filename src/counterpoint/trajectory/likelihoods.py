"""What a network's outputs say of labels: drawing labels, and the derivative of their log-probability."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


class Likelihood(Protocol):
    """p(y | outputs), independent over rows, and over whatever else is not classes."""

    def check(self, outputs: Tensor, targets: Tensor | None) -> None:
        """Raises ValueError for outputs or targets that make no sense."""

    def score(self, outputs: Tensor, targets: Tensor | None, generator: torch.Generator) -> Tensor:
        """The derivative of log p(y | outputs) with respect to the outputs; y is drawn where targets are missing."""


class Categorical:
    """Logits [B, C, ...]; classes [B, ...]."""

    def check(self, outputs: Tensor, targets: Tensor | None) -> None:
        """Raises ValueError for other shapes, or classes out of range."""
        if outputs.dim() < 2:
            raise ValueError(f"outputs have shape {list(outputs.shape)}, expected logits [B, C] or [B, C, ...]")
        if targets is None:
            return
        expected = [outputs.shape[0], *outputs.shape[2:]]
        if list(targets.shape) != expected or targets.is_floating_point():
            raise ValueError(
                f"targets are {targets.dtype} of shape {list(targets.shape)}, expected classes (integers) of shape "
                f"{expected} for outputs of shape {list(outputs.shape)}"
            )
        if not bool(((targets >= 0) & (targets < outputs.shape[1])).all()):
            raise ValueError(f"targets hold a class out of range, expected 0 to {outputs.shape[1] - 1}")

    def score(self, outputs: Tensor, targets: Tensor | None, generator: torch.Generator) -> Tensor:
        """The one-hot class minus the probabilities."""
        probabilities = outputs.softmax(1)
        if targets is None:
            shape = (outputs.shape[0], 1, *outputs.shape[2:])
            uniform = _uniform(shape, generator, outputs)
            targets = (probabilities.cumsum(1) < uniform).sum(1).clamp(max=outputs.shape[1] - 1)
        classes = targets.to(outputs.device, torch.int64).unsqueeze(1)
        return torch.zeros_like(probabilities).scatter_(1, classes, 1.0) - probabilities


class Bernoulli:
    """Logits of any shape [B, ...]; probabilities of a 1, usually 0 or 1, of the same."""

    def check(self, outputs: Tensor, targets: Tensor | None) -> None:
        """Raises ValueError for another shape, or numbers outside of 0 to 1."""
        _same_shape(outputs, targets)
        if targets is not None and not bool(((targets >= 0) & (targets <= 1)).all()):
            raise ValueError("targets hold numbers outside of 0 to 1, expected labels 0 and 1")

    def score(self, outputs: Tensor, targets: Tensor | None, generator: torch.Generator) -> Tensor:
        """The label minus its probability."""
        probabilities = outputs.sigmoid()
        if targets is None:
            targets = (_uniform(outputs.shape, generator, outputs) < probabilities).to(outputs.dtype)
        return targets.reshape(outputs.shape).to(outputs.device, outputs.dtype) - probabilities


class Gaussian:
    """Means of any shape [B, ...], and one variance.

    Args:
        variance: Of every output.
    """

    def __init__(self, variance: float) -> None:
        if not 0 < variance < float("inf"):
            raise ValueError(f"variance is {variance}, expected a positive number")
        self.variance = variance

    def check(self, outputs: Tensor, targets: Tensor | None) -> None:
        """Raises ValueError for another shape, or what is not finite."""
        _same_shape(outputs, targets)
        if targets is not None and not bool(torch.isfinite(targets).all()):
            raise ValueError("targets hold NaN or infinity, expected finite numbers")

    def score(self, outputs: Tensor, targets: Tensor | None, generator: torch.Generator) -> Tensor:
        """The deviation over the variance."""
        if targets is None:
            noise = torch.randn(outputs.shape, generator=generator, dtype=_host(outputs))
            return noise.to(outputs.device, outputs.dtype) / math.sqrt(self.variance)
        return (targets.reshape(outputs.shape).to(outputs.device, outputs.dtype) - outputs) / self.variance


LIKELIHOODS: dict[str, Callable[[float], Likelihood]] = {
    "categorical": lambda _: Categorical(),
    "bernoulli": lambda _: Bernoulli(),
    "gaussian": Gaussian,
}


def _same_shape(outputs: Tensor, targets: Tensor | None) -> None:
    if outputs.dim() < 1:
        raise ValueError("outputs are a scalar, expected one row for each example, [B] or [B, ...]")
    if targets is None:
        return
    squeezed = [[size for size in tensor.shape[1:] if size != 1] for tensor in (outputs, targets)]
    if targets.shape[:1] != outputs.shape[:1] or squeezed[0] != squeezed[1]:
        raise ValueError(f"targets have shape {list(targets.shape)}, expected {list(outputs.shape)} as the outputs")


def _uniform(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=_host(like)).to(like.device, like.dtype)


def _host(tensor: Tensor) -> torch.dtype:
    """Random numbers are drawn on the host in a type of which it knows how to draw."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
