"""What each measure of a trajectory costs, in gradients' time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from counterpoint import (
    Probe,
    conflict,
    fisher_trace,
    gradient_coherence,
    hessian_trace,
    sam_sharpness,
    top_eigenvalues,
)
from counterpoint.trajectory.task_gradients import task_gradients
from trajectory_timing import Found, probed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from trajectory_case import Case

MINIBATCHES = 4  # the TrajectoryCallback's


def eigenvalue(case: Case, **options: Any) -> Found:
    found = top_eigenvalues(case.probe(), case.shared, **options)
    notes = {"residual": float(found.residuals[0]), "converged": found.converged}
    return Found(float(found.values[0]), None, found.gradient_evaluations, notes)


def trace(case: Case, **options: Any) -> Found:
    found = hessian_trace(case.probe(), case.shared, **options)
    return Found(found.value, found.standard_error, found.gradient_evaluations)


def fisher(case: Case, *, empirical: bool, **options: Any) -> Found:
    targets = case.y if empirical else None
    found = fisher_trace(case.outputs(), case.shared, case.likelihood, targets=targets, **options)
    return Found(found.value, found.standard_error, found.gradient_evaluations)


def coherence(case: Case) -> Found:
    found = gradient_coherence(case.probe(), case.shared, minibatches=MINIBATCHES)
    # It counts gradients of minibatches; here the unit is all rows.
    return Found(found.ratio, None, found.gradient_evaluations / MINIBATCHES)


def sharpness(case: Case) -> Found:
    return Found(sam_sharpness(case.probe(), case.shared), None, 1)  # and a forward pass


def gradients_of_all(case: Case) -> Found:
    """Of all tasks on every minibatch, as the TrajectoryCallback looks at them, the forward passes included."""
    parts = Probe(lambda batch: batch, case.batch).split(MINIBATCHES)
    found = task_gradients([case.module.losses_of(part.inputs[0]) for part in parts], case.shared)
    return Found(found.norm(case.task.name), None, len(found.tasks))


def conflict_alone(gram: np.ndarray) -> Found:
    return Found(conflict(gram).mean_cosine, None, 0)


def costs(case: Case, rounds: int) -> list[dict[str, Any]]:
    """A row a measure, the plain gradient first."""
    parts = Probe(lambda batch: batch, case.batch).split(MINIBATCHES)
    gram = task_gradients([case.module.losses_of(part.inputs[0]) for part in parts], case.shared).gram
    probes: dict[str, Callable[[], Found]] = {
        "top_eigenvalues": partial(eigenvalue, case),
        "top_eigenvalues, max_products=10": partial(eigenvalue, case, max_products=10),
        "hessian_trace, 64 draws": partial(trace, case),
        "fisher_trace, 8 draws": partial(fisher, case, empirical=False),
        "fisher_trace, targets, 8 draws": partial(fisher, case, empirical=True),
        "gradient_coherence, 4 minibatches": partial(coherence, case),
        "sam_sharpness": partial(sharpness, case),
        f"task_gradients, {len(case.module.tasks)} tasks, 4 minibatches": partial(gradients_of_all, case),
        "conflict of a Gram matrix": partial(conflict_alone, gram),
    }
    return list(probed(case, probes, rounds).values())
