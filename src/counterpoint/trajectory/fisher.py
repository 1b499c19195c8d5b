"""The trace of the Fisher information matrix."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from counterpoint.trajectory.derivatives import pullback
from counterpoint.trajectory.evaluation import Evaluation
from counterpoint.trajectory.likelihoods import LIKELIHOODS, Likelihood
from counterpoint.trajectory.memory import measured
from counterpoint.trajectory.parameters import Parameters, dot, wide
from counterpoint.trajectory.probe import Probe
from counterpoint.trajectory.trace import TraceEstimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from counterpoint.parameters import Given

# Groups of n / 16 rows: the cross terms of a draw's signs then add at most a relative error of sqrt(2 / 16) times the
# typical cosine of two rows' gradients. Fewer rows than 8 at a time waste the hardware.
_GROUPS, _LEAST = 16, 8


def fisher_trace(
    outputs: Callable[[], Tensor] | Probe,
    params: Given,
    likelihood: Literal["categorical", "bernoulli", "gaussian"] = "categorical",
    *,
    targets: Tensor | None = None,
    variance: float = 1.0,
    draws: int = 8,
    group: int | None = None,
    seed: int = 0,
) -> TraceEstimate:
    r"""The trace of the Fisher information matrix of a model, or of the empirical one.

    .. math:: \operatorname{tr} F = \frac1B \sum_{i=1}^B \mathbb{E}_y \|\nabla_\theta \log p_\theta(y \mid x_i)\|^2

    with labels y drawn from the model; with ``targets``, the empirical Fisher, whose labels are given. The two are not
    the same, and only the first is the curvature of the model (`Kunstner et al., NeurIPS 2019
    <https://arxiv.org/abs/1905.12558>`_, Section 2). Within a group of rows, the squared norm of the sum of the rows'
    gradients with random signs has the sum of their squared norms as its mean: a backward pass a group. Small groups
    make smaller errors; ``group=1`` is exact in the signs, and with ``targets`` altogether. The error is that of
    labels and signs: the rows themselves count as given.

    Nothing is left behind, and FanOut layers hand features on meanwhile. CUDA is supported by construction; no GPU has
    verified it.

    Cost: one forward pass, and a backward pass a draw for a :class:`Probe`, a draw and group for a closure, whose graph
    of all rows is kept. Each such backward pass over all rows counts as one gradient evaluation.

    Args:
        outputs: A closure or :class:`Probe` that returns logits [B, C] or [B, C, ...] (categorical; all positions of a
            row are labelled independently), logits [B] or [B, ...] (bernoulli), or means [B] or [B, ...] (gaussian).
        params: A module, parameters, param groups, or one parameter: those that require gradients.
        likelihood: Of labels given outputs. For a loss that is the mean of -log p: cross entropy, binary cross entropy,
            or squared error over 2 ``variance``, summed over the outputs of a row.
        targets: Labels [B, ...]: classes, 0 or 1, numbers.
        variance: Of the gaussian.
        draws: How many, at least 2. They share the forward pass.
        group: Rows that share a backward pass. By default all rows of a closure (its graph is traversed whole each
            time); for a probe as many as fit into its memory, at most its ``rows`` or about a 16th of all rows. A probe
            forwards so many rows at a time; one given here takes precedence over its memory.
        seed: Of labels and signs, which come from a generator of their own, on the host.

    Raises:
        ValueError: for options, outputs or targets that make no sense, outputs that are not finite or do not depend on
            the parameters.
        TypeError: if ``outputs`` is no closure or returns no tensor.

    Example:
        >>> import torch
        >>> from counterpoint import fisher_trace
        >>> layer, x, y = torch.nn.Linear(3, 1).double(), torch.eye(3).double(), torch.tensor([[0.0], [1.0], [0.0]])
        >>> loss = torch.nn.functional.binary_cross_entropy_with_logits
        >>> rows = [torch.autograd.grad(loss(layer(x)[i], y[i].double()), layer.parameters()) for i in range(3)]
        >>> exact = sum(part.square().sum() for row in rows for part in row) / 3
        >>> estimate = fisher_trace(lambda: layer(x), layer, "bernoulli", targets=y, group=1)
        >>> bool(abs(estimate.value - exact) < 1e-12)
        True
    """
    parameters = Parameters(params)
    if isinstance(outputs, Tensor) or not callable(outputs):
        raise TypeError(f"outputs is a {type(outputs).__name__}, expected a closure or Probe that returns a tensor")
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood is {likelihood!r}, expected one of {list(LIKELIHOODS)}")
    if not isinstance(targets, (Tensor, NoneType)):
        raise TypeError(f"targets are a {type(targets).__name__}, expected a tensor")
    if draws < 2:
        raise ValueError(f"draws is {draws}, expected at least 2: the standard error is their spread")
    if group is not None and group < 1:
        raise ValueError(f"group is {group}, expected at least one row")
    model = LIKELIHOODS[likelihood](variance)
    with Evaluation(parameters, 1, "outputs") as evaluation:
        generator = torch.Generator().manual_seed(seed)
        return _estimate(outputs, evaluation, model, targets, draws=draws, group=group, generator=generator)


def _estimate(
    outputs: Callable[[], Any],
    evaluation: Evaluation,
    model: Likelihood,
    targets: Tensor | None,
    *,
    draws: int,
    group: int | None,
    generator: torch.Generator,
) -> TraceEstimate:
    exact = targets is not None and group == 1
    sums, rows, passes, connected = np.zeros(1 if exact else draws), 0, 1, False
    for found in _forward(outputs, evaluation, group):
        count = found.shape[0] if found.dim() else 0
        labels = None if targets is None else targets[rows : rows + count]
        detached = found.detach().to(wide(found.dtype))
        model.check(detached, labels)
        size = count if group is None or isinstance(outputs, Probe) else min(group, count)
        passes = max(passes, -(-count // size))
        rows += count
        for draw in range(len(sums)):
            signs = torch.randint(0, 2, (count,), generator=generator).mul_(2).sub_(1).to(found.device, detached.dtype)
            score = model.score(detached, labels, generator) * signs.reshape(-1, *[1] * (found.dim() - 1))
            for start in range(0, count, size):
                parts = pullback(found, evaluation.parameters.tensors, _only(score, start, size).to(found.dtype))
                if parts is not None:
                    connected = True
                    vector = [part for part in parts if part is not None]
                    sums[draw] += dot(vector, vector)
    if not connected:
        raise evaluation.unconnected()
    if targets is not None and len(targets) != rows:
        raise ValueError(f"targets have {len(targets)} rows, expected {rows} as the outputs")
    if not np.isfinite(sums).all():
        raise ValueError("a gradient is NaN or infinite, expected finite ones")
    if exact:
        return TraceEstimate(float(sums[0]) / rows, 0.0, 1, passes)
    return TraceEstimate.of((sums / rows).tolist(), draws * passes)


def _only(score: Tensor, start: int, size: int) -> Tensor:
    if size >= score.shape[0]:
        return score
    part = torch.zeros_like(score)
    part[start : start + size] = score[start : start + size]
    return part


def _forward(outputs: Callable[[], Any], evaluation: Evaluation, group: int | None) -> Iterator[Tensor]:
    """The outputs with their graph: of all rows, or group by group."""
    if not isinstance(outputs, Probe):
        yield _checked(evaluation.outputs(outputs, rewind=True))
        return
    if group is None:
        group = max(_LEAST, -(-outputs.rows // _GROUPS))
        if outputs.fixed_rows is not None:
            group = min(group, outputs.fixed_rows)
        else:
            need = measured(outputs, lambda part: evaluation.outputs(part, rewind=True), lambda: evaluation.known)
            group = min(group, need.rows(outputs.memory))
    for index, part in enumerate(outputs.chunks(group)):
        found = _checked(evaluation.outputs(part, rewind=index == 0))
        if found.dim() < 1 or found.shape[0] != part.rows:
            raise ValueError(
                f"outputs have shape {list(found.shape)} for {part.rows} rows, expected one output for each row"
            )
        yield found


def _checked(found: Tensor) -> Tensor:
    if not found.numel():
        raise ValueError(f"outputs have shape {list(found.shape)}, expected at least one number")
    if not bool(torch.isfinite(found.detach()).all()):
        raise ValueError("outputs hold NaN or infinity, expected finite numbers")
    return found
