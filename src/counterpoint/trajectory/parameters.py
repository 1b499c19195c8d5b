"""The parameters that a measure is about, and vectors over them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.parameters import trainable_parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from counterpoint.parameters import Given

Vector = list[Tensor]


class Parameters:
    """Those that require gradients, each once, as the coordinates of vectors.

    A vector has one tensor for each parameter, of its shape and on its device.

    Args:
        given: A module, an iterable of parameters, param groups of an optimizer, or one parameter.

    Attributes:
        tensors: The parameters.
        size: How many numbers they hold.
        modules: The module, if one was given.

    Raises:
        ValueError: if there are none, or one is no leaf or shares memory with another.
        TypeError: if something is not a tensor of real numbers.
    """

    def __init__(self, given: Given) -> None:
        self.modules: tuple[nn.Module, ...] = (given,) if isinstance(given, nn.Module) else ()
        self.tensors = trainable_parameters("params", given)
        _check_apart(self.tensors)
        self.size = sum(tensor.numel() for tensor in self.tensors)

    def zeros(self) -> Vector:
        """A vector to add to: in single precision at least."""
        return [torch.zeros_like(tensor, dtype=wide(tensor.dtype), requires_grad=False) for tensor in self.tensors]

    def split(self, vector: NDArray[np.float64]) -> Vector:
        """A flat vector [P] as one of the parameters' types."""
        parts = np.split(vector, np.cumsum([tensor.numel() for tensor in self.tensors])[:-1])
        return [
            torch.from_numpy(part.reshape(tensor.shape)).to(tensor.device, tensor.dtype)
            for part, tensor in zip(parts, self.tensors, strict=True)
        ]

    def join(self, vector: Vector) -> NDArray[np.float64]:
        """A vector, flat [P], in double precision on the host."""
        return np.concatenate([part.reshape(-1).to("cpu", torch.float64).numpy() for part in vector])


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that sums of numbers of this one are kept in."""
    return torch.promote_types(dtype, torch.float32)


def add(vector: Vector, parts: Sequence[Tensor | None], factor: float = 1.0) -> None:
    """Adds to a vector in place; ``None`` is zero."""
    for own, part in zip(vector, parts, strict=True):
        if part is not None and factor <= torch.finfo(own.dtype).max:
            own.add_(part.detach().to(own.dtype), alpha=factor)
        elif part is not None:  # of numbers near the smallest
            own.add_((part.detach().double() * factor).to(own.dtype))


def dot(a: Vector, b: Vector) -> float:
    """Inner product, summed in double precision where the device has it."""
    sums = []
    for one, other in zip(a, b, strict=True):
        double = torch.float32 if one.device.type == "mps" else torch.float64
        sums.append((one.to(double) * other.to(double)).sum().to(a[0].device))
    return float(torch.stack(sums).sum())


def _check_apart(tensors: list[Tensor]) -> None:
    spans = []
    for tensor in tensors:
        if tensor.numel():
            if any(size > 1 and not stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
                raise ValueError(
                    f"a parameter of shape {list(tensor.shape)} holds a number more than once, expected each once: "
                    "clone what is expanded"
                )
            last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
            start = tensor.data_ptr()
            spans.append((str(tensor.device), start, start + (last + 1) * tensor.element_size(), list(tensor.shape)))
    for (device, _, end, shape), (other, start, _, other_shape) in itertools.pairwise(sorted(spans)):
        if device == other and start < end:
            raise ValueError(
                f"two parameters of shapes {shape} and {other_shape} share memory, expected each number once: "
                "tie them as one Parameter, or give one of them"
            )
