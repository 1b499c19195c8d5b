"""Losses of single tasks: means of negative log-likelihoods, in fp32 at least, never below what labels allow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Beyond exp(30) times the count, ten trillion times, the expectation goes on along its tangent: a step that went astray
# then costs a large finite loss whose gradient leads back, instead of infinity, or the dead end that clamping would be.
HIGHEST = 30.0


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits [B] or [B, 1] and targets [B] of 0 and 1."""
    return functional.binary_cross_entropy_with_logits(logits.reshape(targets.shape), targets.to(logits.dtype))


def half_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the mean squared error: the negative log-likelihood of a gaussian of variance 1, up to a constant.

    Args:
        outputs: Means, [B] or [B, 1].
        targets: Numbers [B].

    Example:
        >>> float(half_squared_error(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0])))
        1.0
    """
    return 0.5 * squared_errors(outputs, targets).mean()


def squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """The squared error of each row."""
    return (wide(outputs).reshape(targets.shape) - targets).square()


def half_poisson_deviance(outputs: Tensor, targets: Tensor, dispersion: float = 1.0) -> Tensor:
    """Half the mean Poisson deviance: the negative log-likelihood over the least that these counts allow.

    That least is a constant of the labels, so gradients are those of ``poisson_nll_loss``. But this loss is never
    negative: ratios of losses, of which affinities and some weightings are made, keep their sign.

    Args:
        outputs: Logarithms of the expected counts, [B] or [B, 1].
        targets: Counts [B].
        dispersion: What it is divided by.

    Example:
        >>> float(half_poisson_deviance(torch.tensor([[0.0], [0.0]]), torch.tensor([1.0, 0.0])))
        0.5
    """
    return 0.5 * poisson_deviances(outputs, targets).mean() / dispersion


def poisson_deviances(outputs: Tensor, targets: Tensor) -> Tensor:
    """The Poisson deviance of each row.

    For a count y and its expectation mu it is 2 (mu - y - y log(mu / y)). Written with d = log(mu / y) it is
    2 y (exp(d) - 1 - d), which keeps its digits in fp32 where y is a million and the prediction nearly right.
    """
    logarithms = wide(outputs).reshape(targets.shape)
    counts = targets.to(logarithms.dtype)
    some = counts > 0
    factors = torch.where(some, counts, 1.0)
    ratios = logarithms - factors.log()
    below = ratios.clamp(max=HIGHEST)
    growth = below.expm1() + below.exp() * (ratios - below)
    return 2 * factors * (growth - torch.where(some, ratios, -1.0))


def wide(outputs: Tensor) -> Tensor:
    """Half precision has too few digits for differences and too small a range for counts."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
