"""The plain sum of the losses."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoint.balancing.weightings.weighting import Weighting


class Uniform(Weighting):
    r"""Every task weighs 1: the gradient of the plain sum of the losses.

    ``FanOut(Uniform())`` trains exactly like a model without a FanOut and records Gram matrices on the way. A task with
    a zero gradient weighs 1 like the others. The weights sum to T, those of :class:`MGDA` to 1: under plain SGD
    compare the two at learning rates that differ by that factor; Adam does not notice.

    Example:
        >>> Uniform()(torch.eye(3))
        tensor([1., 1., 1.])
    """

    needs_gram = False

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns ones, [T]."""
        return torch.ones(gram.shape[0], dtype=gram.dtype, device=gram.device)
