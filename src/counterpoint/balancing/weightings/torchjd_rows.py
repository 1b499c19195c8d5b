"""TorchJD's methods that need the gradients themselves, coordinate by coordinate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchjd.aggregation import Aggregator

from counterpoint.balancing.weightings.torchjd_methods import TorchJDMethod
from counterpoint.balancing.weightings.torchjd_state import place

if TYPE_CHECKING:
    from counterpoint.balancing.step import Step


class RowMethod(TorchJDMethod):
    """A method of TorchJD that combines the gradients coordinate by coordinate: GradDrop, TrimmedMean, ExcessMTL.

    ``FanOut`` and ``backward`` call :meth:`combine_rows`; the gradients of all tasks are then held at once, flat.
    State of the size of the gradients is kept for the set of tasks that took part last only: a method that remembers
    starts anew when another set takes part.
    """

    needs_rows = True
    kept_sets = 1

    def combine_rows(self, matrix: Tensor, step: Step) -> tuple[Tensor, Tensor | None]:
        """Combines the gradients.

        Args:
            matrix: [P, N], the flat gradients of the tasks that took part, times the step's scale.
            step: The step.

        Returns:
            The combined gradient [N], times the step's scale, and the weights [P]; ``None`` where no weights
            describe the combination.
        """
        method = self._for(step.present, step.positions)
        place(method, matrix.device)
        scale = step.scale or 1.0  # a loss times zero has gradients of zero
        rows = matrix if scale == 1.0 else matrix / scale
        if isinstance(method, Aggregator):
            # Leaks and the like were given in fp64 on the CPU.
            for option, value in list(vars(method).items()):
                if isinstance(value, Tensor):
                    setattr(method, option, value.to(matrix.device, matrix.dtype))
            combined: Tensor = method(rows)
            return (combined if scale == 1.0 else combined * scale), None
        weights = torch.as_tensor(method(rows))
        return weights.to(matrix.dtype) @ matrix, weights

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Refuses.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{self} needs the gradients themselves, not their inner products: use it with FanOut or backward"
        )

    def weigh(self, step: Step) -> Tensor:
        """Refuses, like :meth:`forward`."""
        return self.forward(step.gram)


class ParameterRowMethod(RowMethod):
    """A method that remembers every coordinate (ExcessMTL): only parameters are the same coordinates at every step."""

    levels = ("parameters",)
    why_not = (
        "it keeps statistics of every coordinate of the gradients and features are another batch's at every step: "
        "call backward(losses, weighting, shared=encoder.parameters())"
    )
