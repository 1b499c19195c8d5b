"""TorchJD's own objects, handed over where a weighting is expected."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import torch
from torchjd.aggregation import Aggregator, GramianWeightedAggregator, WeightedAggregator
from torchjd.aggregation import Weighting as TorchJDWeighting
from torchjd.scalarization import Scalarizer

from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from torch import Tensor, nn

    from counterpoint.balancing.step import Step

_TASKS_ALONE = frozenset({"ConstantWeighting", "MeanWeighting", "RandomWeighting", "SumWeighting"})


def of_torchjd(given: object) -> Weighting:
    """A weighting of ours that does what an object of TorchJD does.

    An aggregator takes the gradients as the rows of a Jacobian [T, N]; called with their Gram matrix [T, T] it would
    return another kind of thing of the same shape. One that looks at inner products only is asked by way of its
    weighting, every other gets the gradients.

    Args:
        given: An aggregator or weighting of TorchJD, made by its constructor.

    Raises:
        TypeError: for a scalarizer, which takes losses, or anything else of TorchJD.

    Example:
        >>> from torchjd.aggregation import UPGrad
        >>> of_torchjd(UPGrad())(torch.eye(2, dtype=torch.float64)).round(decimals=6)
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    if isinstance(given, GramianWeightedAggregator):
        return OfGram(given.gramian_weighting, given)
    if isinstance(given, WeightedAggregator) and type(given.weighting).__name__ in _TASKS_ALONE:
        return OfGram(given.weighting, given)
    if isinstance(given, TorchJDWeighting):
        takes = list(inspect.signature(given.forward).parameters.values())
        if "PSDMatrix" in str(takes[0].annotation) or type(given).__name__ in _TASKS_ALONE:
            return OfGram(given, given)
        return OfRows(given)
    if isinstance(given, Aggregator):
        return OfRows(given)
    name = type(given).__name__
    takes_losses = isinstance(given, Scalarizer)
    why = "a scalarizer of TorchJD, which takes losses" if takes_losses else "of TorchJD and no weighting"
    raise TypeError(f"weighting={name} is {why}, expected get_weighting({name.lower()!r}, ...)")


class OfGram(Weighting):
    """A weighting of TorchJD that takes a Gram matrix.

    Args:
        method: Takes [T, T], returns [T].
        given: What the user made, for ``repr``.
    """

    def __init__(self, method: nn.Module, given: nn.Module) -> None:
        super().__init__()
        self.method = method
        self._name = repr(given)

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns TorchJD's weights, [T, T] -> [T]."""
        return torch.as_tensor(self.method(gram)).to(gram)

    def __repr__(self) -> str:
        return self._name


class OfRows(Weighting):
    """An aggregator, or a weighting, of TorchJD that takes the gradients themselves.

    Args:
        method: Takes [T, N]; an aggregator returns [N], a weighting [T].
    """

    needs_rows = True

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Refuses.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self} needs the gradients themselves, expected FanOut or backward")

    def combine_rows(self, matrix: Tensor, step: Step) -> tuple[Tensor, Tensor | None]:
        """The combined gradient [N] of the rows [P, N], and the weights [P] if there are any."""
        scale = step.scale or 1.0  # a loss times zero has gradients of zero
        given = self.method(matrix / scale)
        if isinstance(self.method, Aggregator):
            return given * scale, None
        return given.to(matrix) @ matrix, given

    def __repr__(self) -> str:
        return repr(self.method)
