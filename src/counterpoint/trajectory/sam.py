"""Sharpness as sharpness-aware minimization has it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from counterpoint.trajectory.evaluation import Evaluation
from counterpoint.trajectory.parameters import Parameters, add, dot
from counterpoint.trajectory.plan import planned

if TYPE_CHECKING:
    from counterpoint.parameters import Given
    from counterpoint.trajectory.plan import Loss


def sam_sharpness(loss: Loss, params: Given, rho: float = 0.05) -> float:
    r"""How much the loss rises within a radius, to first order: the sharpness that SAM minimizes.

    .. math:: L(\theta + \rho \, g / \|g\|) - L(\theta), \qquad g = \nabla L(\theta)

    from `Foret et al., ICLR 2021 <https://arxiv.org/abs/2010.01412>`_, Section 2 (the ascent step of Eq. 2 with p = 2).
    It is 0 where the gradient is. Nothing is left behind, the parameters bit for bit; FanOut layers hand features on
    meanwhile. CUDA is supported by construction; no GPU has verified it.

    Cost: one gradient evaluation and one more forward pass.

    Args:
        loss: A closure that returns the loss, a scalar, computed anew on every call; or a :class:`Probe`.
        params: A module, parameters, param groups, or one parameter: those that require gradients. Others stay where
            they are.
        rho: The radius.

    Returns:
        In the units of the loss.

    Raises:
        ValueError: for a radius or parameters that make no sense; a loss that is not a finite scalar (there or here),
            does not depend on the parameters, or changes them.
        TypeError: if the loss is no closure or returns no tensor.

    Example:
        >>> import torch
        >>> from counterpoint import sam_sharpness
        >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
        >>> round(sam_sharpness(lambda: w.square().sum(), w, rho=0.1), 10)  # (5 + 0.1)^2 - 5^2
        1.01
    """
    parameters = Parameters(params)
    if isinstance(loss, Tensor):
        raise TypeError("loss is a tensor, expected a closure or Probe: the loss is computed again at other parameters")
    if not 0 < rho < math.inf:
        raise ValueError(f"rho is {rho}, expected a positive number")
    with Evaluation(parameters, 1) as evaluation:
        plan = planned(loss, evaluation)
        here, gradient = plan.mean_gradient(evaluation)
        norm = math.sqrt(dot(gradient, gradient))
        if not math.isfinite(norm):
            raise ValueError("the gradient is NaN or infinite, expected a finite one")
        if norm == 0.0:
            return 0.0
        moved = parameters.zeros()
        add(moved, parameters.tensors)
        add(moved, gradient, rho / norm)
        evaluation.place(moved)
        return plan.value(evaluation) - here
