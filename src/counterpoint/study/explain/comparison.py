"""A task's trajectories with and without the other tasks, side by side."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.estimate import Estimate
from counterpoint.study.explain.factors import FACTORS
from counterpoint.study.summary import BASELINE
from counterpoint.trajectory.curve import Trajectory
from counterpoint.trajectory.deficit import AtEqualSteps, at_equal_steps, optimization_deficit
from counterpoint.trajectory.gap import Gap, generalization_gap
from counterpoint.trajectory.paired_curves import PairedCurves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from counterpoint.study.explain.factors import Factor
    from counterpoint.study.explain.results import ExplainResults

    Array = NDArray[np.float64]

Direction = Literal["maximize", "minimize"]
Place = Literal["loss", "step"]


@dataclass(frozen=True, eq=False)
class FactorCurves:
    """A factor along both trajectories.

    Attributes:
        factor: The factor.
        place: Whether both are read off at the same training loss, or at the same step.
        x: The training losses, or the steps, [n].
        curves: The factor along both, [S, n]; the base-2 logarithm of it for factors compared by their ratio, and zero
            for the single task where the factor exists only among several tasks.
    """

    factor: Factor
    place: Place
    x: Array
    curves: PairedCurves


@dataclass(frozen=True, eq=False)
class TaskComparison:
    """What sharing did to one task's trajectory.

    Attributes:
        method: Key of the way of sharing.
        task: Name of the task.
        baseline: Key of what it is compared with, usually ``"single"``.
        direction: Whether more or less of the metric is better.
        gap: Gap in the test metric at comparable training loss, ``None`` where the two cannot be compared.
        loss_gap: The same of the test loss, by how much it is lower; ``None`` where it cannot be compared.
        problem: Why there is no gap, in one line; empty where there is one.
        deficit: Training loss above that of the single task at equal steps.
        outcome: Test metric at the end of training against the single task's, positive is better.
        at_loss: Factors at equal training loss, by key.
        at_step: Factors at equal step, by key.
    """

    method: str
    task: str
    baseline: str
    direction: Direction
    gap: Gap | None
    loss_gap: Gap | None
    problem: str
    deficit: AtEqualSteps
    outcome: Estimate
    at_loss: dict[str, FactorCurves]
    at_step: dict[str, FactorCurves]


def compare(results: ExplainResults, method: str, task: str, baseline: str = BASELINE) -> TaskComparison:
    """Compares a task's runs under a way of sharing with those of a baseline, paired by seed.

    Raises:
        ValueError: if a run has recorded too little to be a trajectory at all.
    """
    direction: Direction = "minimize" if results.tasks[task]["direction"] == "minimize" else "maximize"
    ours, theirs = (_runs(results, name, task, "test_metric") for name in (baseline, method))
    gap, loss_gap, problem = None, None, ""
    try:
        gap = generalization_gap(ours, theirs, direction=direction)
    except ValueError as error:
        problem = str(error)
    with contextlib.suppress(ValueError):
        losses = [_runs(results, name, task, "test_loss") for name in (baseline, method)]
        loss_gap = generalization_gap(losses[0], losses[1], direction="minimize")
    sign = 1.0 if direction == "maximize" else -1.0
    ends = [sign * float(b.values[-1] - a.values[-1]) for a, b in zip(ours, theirs, strict=True)]
    along: dict[Place, dict[str, FactorCurves]] = {"loss": {}, "step": {}}
    for factor in FACTORS.values():
        for place, found in along.items():
            curves = _along(results, task, (baseline, method), factor, place)
            if curves is not None:
                found[factor.key] = curves
    return TaskComparison(
        method=method,
        task=task,
        baseline=baseline,
        direction=direction,
        gap=gap,
        loss_gap=loss_gap,
        problem=problem,
        deficit=optimization_deficit(ours, theirs),
        outcome=Estimate.of(ends),
        at_loss=along["loss"],
        at_step=along["step"],
    )


def _runs(results: ExplainResults, method: str, task: str, quantity: str) -> list[Trajectory]:
    runs = []
    for seed in results.seeds:
        try:
            runs.append(results.trajectory(method, task, seed, quantity))
        except ValueError as error:
            raise ValueError(f"task {task!r}, {method!r}, seed {seed}: {error}") from None
    return runs


def _along(
    results: ExplainResults, task: str, methods: tuple[str, str], factor: Factor, place: Place
) -> FactorCurves | None:
    """``None`` where the factor was not measured often enough."""
    baseline, method = methods
    alone = factor.shared_only and baseline == BASELINE
    try:
        multi = [_factor(results, method, task, seed, factor) for seed in results.seeds]
        single = multi if alone else [_factor(results, baseline, task, seed, factor) for seed in results.seeds]
        if place == "loss":
            read = generalization_gap(single, multi)
            return FactorCurves(factor, place, read.losses, _against_zero(read) if alone else read)
        found = at_equal_steps(single, multi)
        return FactorCurves(factor, place, found.steps, _against_zero(found) if alone else found)
    except ValueError:
        return None


def _factor(results: ExplainResults, method: str, task: str, seed: int, factor: Factor) -> Trajectory:
    run = results.trajectory(method, task, seed, factor.key)
    if not factor.ratio:
        return run
    # Points without a logarithm (a trace estimated below zero) are left out.
    logs = np.full(len(run.values), np.nan)
    np.log2(run.values, out=logs, where=run.values > 0)
    return Trajectory(run.losses, logs, run.steps)


def _against_zero(curves: PairedCurves) -> PairedCurves:
    return PairedCurves(single=np.zeros_like(curves.multi), multi=curves.multi)


def mean_over_tasks(curves: Sequence[Array]) -> Estimate | None:
    """The mean over tasks of one number a seed, [S] each; ``None`` without a task."""
    return Estimate.of(np.mean(curves, axis=0).tolist()) if len(curves) else None
