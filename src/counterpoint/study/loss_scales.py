"""Plain scalarization with chosen scales, and the search for them: what specialized methods have to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing import Weighting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing import Step

# Scales are drawn from 1/10 to 10 before they are brought to geometric mean 1.
_RANGE = 10.0


class LossScales(Weighting):
    """Each task weighs what it was given: with ``heads="weighted"`` the gradient of a weighted sum of the losses.

    Args:
        scales: What each task's loss is multiplied by.

    Example:
        >>> from counterpoint import FanOut
        >>> fan = FanOut(LossScales({"a": 2.0, "b": 0.5}), ["a", "b"])
        >>> z = fan(torch.ones(1, 1, requires_grad=True))
        >>> (z["a"].sum() + z["b"].sum()).backward()
        >>> fan.last.weights.tolist()
        [2.0, 0.5]
    """

    needs_gram = False

    def __init__(self, scales: Mapping[str, float]) -> None:
        super().__init__()
        self.scales = dict(scales)

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Weights of all tasks, in the order given."""
        del losses
        return torch.tensor(list(self.scales.values()), dtype=gram.dtype, device=gram.device)

    def weigh(self, step: Step) -> Tensor:
        """Weights of the tasks that took part."""
        weights = [self.scales[task] for task in step.present]
        return torch.tensor(weights, dtype=step.gram.dtype, device=step.gram.device)


def candidate_scales(tasks: Sequence[str], count: int) -> list[dict[str, float]]:
    """Scales to try: a scrambled Sobol sequence over their logarithms, each vector with geometric mean 1.

    Args:
        tasks: The tasks.
        count: How many to try; the first n are the same for every count.

    Example:
        >>> found = candidate_scales(["a", "b"], 3)
        >>> len(found), round(found[0]["a"] * found[0]["b"], 2), found[:2] == candidate_scales(["a", "b"], 2)
        (3, 1.0, True)
    """
    from scipy.stats import qmc  # noqa: PLC0415  (half a second to load)

    if count < 1:
        return []
    points = qmc.Sobol(len(tasks), rng=0).random_base2((count - 1).bit_length())[:count]
    logs = np.log(_RANGE) * (2 * points - 1)
    scales = np.exp(logs - logs.mean(1, keepdims=True))
    return [{task: float(f"{scale:.4g}") for task, scale in zip(tasks, row, strict=True)} for row in scales]
