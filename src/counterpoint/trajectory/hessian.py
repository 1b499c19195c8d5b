"""Products with the Hessian of a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.trajectory.derivatives import gradient, product
from counterpoint.trajectory.parameters import add

if TYPE_CHECKING:
    from counterpoint.trajectory.derivatives import Parts
    from counterpoint.trajectory.evaluation import Evaluation
    from counterpoint.trajectory.parameters import Vector
    from counterpoint.trajectory.plan import Plan


class Hessian:
    """Multiplies vectors by the Hessian: the gradient of <gradient, v>, chunk by chunk.

    Args:
        plan: How the loss is evaluated.
        evaluation: Which is under way.

    Attributes:
        gradient_evaluations: What has been spent, in forward and backward passes over all rows: 1 for a gradient with
            its graph, 2 for differentiating it once (backward through a computation costs twice the computation).
    """

    def __init__(self, plan: Plan, evaluation: Evaluation) -> None:
        self.plan = plan
        self.evaluation = evaluation
        self.gradient_evaluations = 0
        self._kept: list[tuple[float, Parts | None]] | None = None

    def product(self, vector: Vector) -> Vector:
        """H v, in single precision at least; zero where the gradient does not change.

        Raises:
            ValueError: if the loss does not depend on the parameters, or has no second derivatives.
        """
        plan, evaluation = self.plan, self.evaluation
        tensors = evaluation.parameters.tensors
        if plan.keep and self._kept is None:
            self._kept = plan.gradients(evaluation, 2)
            self.gradient_evaluations += 1
        result = evaluation.parameters.zeros()
        connected = False
        for index in range(len(plan.closures)):
            if self._kept is not None:
                share, gradients = self._kept[index]
            else:
                loss = evaluation.loss(plan.closures[index], rewind=index == 0)
                share, gradients = plan.shares[index], gradient(loss, tensors, order=2, keep=False)
            if gradients is None:
                continue
            connected = True
            parts = product(gradients, tensors, vector, keep=plan.keep)
            if parts is not None:
                add(result, parts, share)
        if not connected:
            raise evaluation.unconnected()
        self.gradient_evaluations += 2 if plan.keep else 3
        return result
