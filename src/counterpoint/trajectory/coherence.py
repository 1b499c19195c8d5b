"""How well the gradients of minibatches agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from counterpoint.trajectory.evaluation import Evaluation
from counterpoint.trajectory.parameters import Parameters, add, dot
from counterpoint.trajectory.plan import planned, rows_at_once
from counterpoint.trajectory.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from counterpoint.parameters import Given
    from counterpoint.trajectory.plan import Loss


@dataclass(frozen=True)
class Coherence:
    """Agreement of the gradients g_1, ..., g_m of m minibatches.

    Attributes:
        ratio: ``|mean g|^2 / mean |g|^2``, from 0 (they cancel) over 1/m (orthogonal) to 1 (identical); NaN if all
            are 0.
        cosine: Mean cosine over pairs of minibatches, those with gradient 0 left out; NaN without a pair.
        norm: Of the mean gradient.
        minibatches: m.
        gradient_evaluations: What it cost: forward and backward passes, each over one minibatch.
    """

    ratio: float
    cosine: float
    norm: float
    minibatches: int
    gradient_evaluations: int


def gradient_coherence(losses: Iterable[Loss] | Probe, params: Given, *, minibatches: int | None = None) -> Coherence:
    r"""How well the gradients of minibatches agree: coherence, and mean cosine.

    With :math:`g_b` the gradient of minibatch b,

    .. math:: \alpha = \frac{\|\frac1m \sum_b g_b\|^2}{\frac1m \sum_b \|g_b\|^2}, \qquad
              \frac{1}{m (m - 1)} \sum_{a \ne b} \cos(g_a, g_b) = \frac{\|\sum_b g_b / \|g_b\|\|^2 - m}{m (m - 1)}.

    The first is the :math:`\alpha` of `Chatterjee & Zielinski 2020 <https://arxiv.org/abs/2008.01217>`_ (m times it is
    their m-coherence; theirs is over examples, here over minibatches, whose means agree better: compare values of equal
    batch size alone). The second is the cosine stiffness of `Fort et al. 2019 <https://arxiv.org/abs/1901.09491>`_
    between minibatches.

    Memory: two vectors of the parameters' size beside a gradient, however many minibatches. Nothing is left behind;
    FanOut layers hand features on meanwhile. CUDA is supported by construction; no GPU has verified it.

    Cost: one gradient evaluation a minibatch.

    Args:
        losses: For each minibatch a closure that returns its loss, a scalar; a :class:`Probe`; or the loss itself with
            its graph, which is kept. Or one :class:`Probe` to be split. Every minibatch starts with the same random
            numbers (dropout).
        params: A module, parameters, param groups, or one parameter: those that require gradients.
        minibatches: Into how many a probe is split, as equal as can be.

    Raises:
        ValueError: for fewer than two minibatches or more than rows; parameters that make no sense; a loss that is not
            a finite scalar, does not depend on the parameters, or changes them.
        TypeError: if a loss is no closure or returns no tensor, or ``minibatches`` does not go with ``losses``.

    Example:
        >>> import torch
        >>> from counterpoint import gradient_coherence
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> found = gradient_coherence([lambda: 3 * w[0], lambda: 4 * w[1]], w)  # gradients (3, 0) and (0, 4)
        >>> found.ratio, found.cosine, found.norm
        (0.5, 0.0, 2.5)
    """
    parameters = Parameters(params)
    several = _minibatches(losses, minibatches)
    count = len(several)
    squares, directed = 0.0, 0
    with Evaluation(parameters, 1) as evaluation:
        mean, directions = parameters.zeros(), parameters.zeros()
        if isinstance(losses, Probe):  # a look at its memory is enough for all parts
            rows = rows_at_once(losses, evaluation)
            several = [part.at_most(rows) for part in losses.split(count)]
        for loss in several:
            _, gradient = planned(loss, evaluation).mean_gradient(evaluation)
            square = dot(gradient, gradient)
            if not math.isfinite(square):
                raise ValueError("a gradient is NaN or infinite, expected finite ones")
            add(mean, gradient, 1 / count)
            squares += square / count
            if square > 0.0:
                directed += 1
                add(directions, gradient, 1 / math.sqrt(square))
        square, aligned = dot(mean, mean), dot(directions, directions)
    pairs = directed * (directed - 1)
    cosine = (aligned - directed) / pairs if pairs else math.nan
    return Coherence(
        ratio=min(1.0, square / squares) if squares else math.nan,
        cosine=min(1.0, max(-1.0, cosine)) if pairs else math.nan,
        norm=math.sqrt(square),
        minibatches=count,
        gradient_evaluations=count,
    )


def _minibatches(losses: Iterable[Loss] | Probe, minibatches: int | None) -> list[Loss]:
    if isinstance(losses, Probe):
        if minibatches is None:
            raise TypeError("minibatches is missing, expected into how many the probe's rows are to be split")
        several: list[Loss] = [losses] if minibatches < 2 else list(losses.split(minibatches))
    elif minibatches is not None:
        raise TypeError("minibatches is given, expected it for a Probe alone: a sequence has one loss a minibatch")
    elif isinstance(losses, Tensor) or callable(losses):
        raise TypeError(f"losses is one {type(losses).__name__}, expected a sequence of closures, one a minibatch")
    else:
        several = list(losses)
    if len(several) < 2:
        raise ValueError(f"{len(several)} minibatch(es), expected at least 2: coherence compares them")
    return several
