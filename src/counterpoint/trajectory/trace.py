"""The trace of the Hessian of a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from counterpoint.trajectory.evaluation import Evaluation
from counterpoint.trajectory.hessian import Hessian
from counterpoint.trajectory.parameters import Parameters, dot
from counterpoint.trajectory.plan import planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.parameters import Given
    from counterpoint.trajectory.parameters import Vector
    from counterpoint.trajectory.plan import Loss


@dataclass(frozen=True)
class TraceEstimate:
    """A trace, estimated from random draws.

    Attributes:
        value: The mean over draws.
        standard_error: Of the value: the spread over draws, over the square root of their number.
        draws: How many.
        gradient_evaluations: What it cost, as the function that made it counts.
    """

    value: float
    standard_error: float
    draws: int
    gradient_evaluations: int

    @classmethod
    def of(cls, draws: Sequence[float], gradient_evaluations: int) -> TraceEstimate:
        """From at least two draws."""
        error = float(np.std(draws, ddof=1) / np.sqrt(len(draws)))
        return cls(float(np.mean(draws)), error, len(draws), gradient_evaluations)


def hessian_trace(
    loss: Loss,
    params: Given,
    draws: int = 64,
    *,
    distribution: Literal["rademacher", "gaussian"] = "rademacher",
    seed: int = 0,
) -> TraceEstimate:
    r"""The trace of the Hessian of a loss, by Hutchinson's estimator.

    The mean of :math:`v^\top H v` over random v with uncorrelated entries of variance 1 (`Hutchinson 1989
    <https://doi.org/10.1080/03610918908812806>`_). With random signs its variance is twice the sum of the squared
    off-diagonal entries of H, over the number of draws: none if H is diagonal; with normal entries, of all entries.
    Vectors come from a generator of their own, drawn on the host: every device gets the same. Nothing is left behind,
    and FanOut layers hand features on meanwhile. CUDA is supported by construction; no GPU has verified it.

    Cost in gradient evaluations (a forward and a backward pass over all rows): 2 a draw and 1 for the graph, or 3 a
    draw where a :class:`Probe` computes graphs anew.

    Args:
        loss: A closure that returns the loss, a scalar; a :class:`Probe`; or the loss itself with its graph, which is
            kept.
        params: A module, parameters, param groups, or one parameter: those that require gradients. H is the block of
            these alone.
        draws: How many, at least 2. The error falls with their square root.
        distribution: ``"rademacher"`` (random signs) or ``"gaussian"``.
        seed: Of the draws.

    Raises:
        ValueError: for draws, a distribution or parameters that make no sense; a loss that is not a finite scalar, does
            not depend on the parameters, cannot be differentiated twice, or changes parameters.
        TypeError: if the loss is no closure or returns no tensor.

    Example:
        >>> import torch
        >>> from counterpoint import hessian_trace
        >>> w = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64))
        >>> f = lambda w: w.exp().sum() + w.prod()
        >>> exact = float(torch.autograd.functional.hessian(f, w.detach()).trace())
        >>> estimate = hessian_trace(lambda: f(w), w)
        >>> abs(estimate.value - exact) < 3 * estimate.standard_error
        True
    """
    parameters = Parameters(params)
    if draws < 2:
        raise ValueError(f"draws is {draws}, expected at least 2: the standard error is their spread")
    if distribution not in {"rademacher", "gaussian"}:
        raise ValueError(f"distribution is {distribution!r}, expected 'rademacher' or 'gaussian'")
    generator = torch.Generator().manual_seed(seed)
    found = []
    with Evaluation(parameters, 2) as evaluation:
        hessian = Hessian(planned(loss, evaluation), evaluation)
        for _ in range(draws):
            vector = _drawn(parameters, generator, signs=distribution == "rademacher")
            found.append(dot(vector, hessian.product(vector)))
            if not np.isfinite(found[-1]):
                raise ValueError("a second derivative of the loss is NaN or infinite, expected a finite Hessian")
    return TraceEstimate.of(found, hessian.gradient_evaluations)


def _drawn(parameters: Parameters, generator: torch.Generator, *, signs: bool) -> Vector:
    vector = []
    for tensor in parameters.tensors:
        if signs:
            part = torch.randint(0, 2, tensor.shape, generator=generator, dtype=torch.int8).mul_(2).sub_(1)
        else:
            dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
            part = torch.randn(tensor.shape, generator=generator, dtype=dtype)
        vector.append(part.to(tensor.device, tensor.dtype))
    return vector
