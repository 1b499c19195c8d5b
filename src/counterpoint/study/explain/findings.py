"""What an explain study found: numbers with intervals, from which tables, figures and sentences are made."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.study.explain.comparison import compare, mean_over_tasks
from counterpoint.study.explain.correlation import rank_correlation
from counterpoint.study.explain.factors import FACTORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from counterpoint.estimate import Estimate
    from counterpoint.study.explain.comparison import Place, TaskComparison
    from counterpoint.study.explain.correlation import RankCorrelation
    from counterpoint.study.explain.factors import Factor
    from counterpoint.study.explain.results import ExplainResults

    Array = NDArray[np.float64]

UNIFORM = "uniform"
Subject = Literal["conflict", "deficit", "gap"]
SUBJECTS: tuple[Subject, ...] = ("conflict", "deficit", "gap")
Target = Literal["gap", "deficit"]


@dataclass(frozen=True)
class Association:
    """How a factor goes with what sharing did, over tasks and seeds.

    Attributes:
        method: Key of the way of sharing.
        factor: The factor.
        place: Whether the factor is compared at equal training loss or at equal step.
        target: What it is correlated with.
        correlation: The correlation.
    """

    method: str
    factor: Factor
    place: Place
    target: Target
    correlation: RankCorrelation


@dataclass(frozen=True)
class Answer:
    """Whether a weighting changed something, against the plain sum.

    Attributes:
        method: Key of the weighting.
        subject: ``"conflict"``: mean cosine between task gradients at equal steps, so positive is less conflict;
            ``"deficit"``: training loss at equal steps, positive is a larger deficit; ``"gap"``: test metric at
            comparable training loss, positive is better.
        estimate: The change, mean over tasks, with its interval over seeds; ``None`` where nothing can be compared.
        tasks: Number of tasks that could be compared.
    """

    method: str
    subject: Subject
    estimate: Estimate | None
    tasks: int


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that the report says.

    Attributes:
        comparisons: Each way of sharing against single-task training, by method and task.
        associations: Correlations of factors with gap and deficit.
        answers: What each weighting changed against the plain sum.
    """

    comparisons: Mapping[str, Mapping[str, TaskComparison]]
    associations: tuple[Association, ...]
    answers: tuple[Answer, ...]

    def gap(self, method: str) -> Estimate | None:
        """The mean over tasks of the gap in the test metric."""
        return mean_over_tasks([c.gap.by_seed for c in self.comparisons[method].values() if c.gap is not None])

    def deficit(self, method: str) -> Estimate | None:
        """The mean over tasks of the optimization deficit."""
        return mean_over_tasks([c.deficit.by_seed for c in self.comparisons[method].values()])

    def association(self, method: str, factor: str, place: Place, target: Target) -> RankCorrelation | None:
        """One of the correlations, ``None`` where it could not be computed."""
        for found in self.associations:
            if (found.method, found.factor.key, found.place, found.target) == (method, factor, place, target):
                return found.correlation
        return None


def findings(results: ExplainResults) -> Findings:
    """Compares, correlates and answers.

    Raises:
        ValueError: with fewer than 2 seeds, or if a run has recorded too little.
    """
    if len(results.seeds) < 2:
        raise ValueError(f"{len(results.seeds)} seed gives no interval, expected at least 2 seeds: run more of them")
    comparisons = {
        method: {task: compare(results, method, task) for task in results.tasks} for method in results.methods
    }
    associations = [
        found
        for method, by_task in comparisons.items()
        for factor, place, target in product(FACTORS.values(), _places(), _targets())
        if (found := _associate(method, by_task.values(), factor, place, target)) is not None
    ]
    answers = []
    for method in results.methods:
        if method != UNIFORM and UNIFORM in results.methods:
            against = [compare(results, method, task, UNIFORM) for task in results.tasks]
            answers += [_answer(method, subject, against) for subject in SUBJECTS]
    return Findings(comparisons, tuple(associations), tuple(answers))


def _places() -> tuple[Place, ...]:
    return "loss", "step"


def _targets() -> tuple[Target, ...]:
    return "gap", "deficit"


def _associate(
    method: str, comparisons: Iterable[TaskComparison], factor: Factor, place: Place, target: Target
) -> Association | None:
    x, y = [], []
    for comparison in comparisons:
        along = (comparison.at_loss if place == "loss" else comparison.at_step).get(factor.key)
        other = comparison.gap if target == "gap" else comparison.deficit
        if along is not None and other is not None:
            x.append(along.curves.by_seed)
            y.append(other.by_seed)
    correlation = rank_correlation(np.array(x), np.array(y)) if x else None
    return None if correlation is None else Association(method, factor, place, target, correlation)


def _answer(method: str, subject: Subject, comparisons: Sequence[TaskComparison]) -> Answer:
    by_seed: list[Array] = []
    for comparison in comparisons:
        if subject == "conflict" and "cosine" in comparison.at_step:
            by_seed.append(comparison.at_step["cosine"].curves.by_seed)
        elif subject == "deficit":
            by_seed.append(comparison.deficit.by_seed)
        elif subject == "gap" and comparison.gap is not None:
            by_seed.append(comparison.gap.by_seed)
    return Answer(method, subject, mean_over_tasks(by_seed), len(by_seed))
