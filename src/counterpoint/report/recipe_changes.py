"""By how many percent each method of a recipe is better than a reference: task by task, and on average over tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.estimate import Estimate
from counterpoint.report.verdict import Comparison, Outcome, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from counterpoint.report.methods import Method

    # Percent by task and seed.
    ByTask = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Changes:
    """Relative improvements over a reference, in percent; positive is better.

    Attributes:
        reference: Key of the method that the others are compared with.
        by_method: For each other method its tasks, and for each of these a mean over the task's metrics by seed; NaN
            where a score is NaN or the reference scored 0.
        tasks: All tasks there are; by default those that a method has.
    """

    reference: str
    by_method: Mapping[str, ByTask]
    tasks: tuple[str, ...] = ()

    def mean(self, method: str) -> dict[int, float]:
        """Mean over tasks by seed, of the seeds that have all tasks: without one it would be of something else.

        Args:
            method: Its key.

        Example:
            >>> Changes("single", {"mgda": {"a": {0: 1.0, 1: 2.0}, "b": {0: 3.0}}}).mean("mgda")
            {0: 2.0}
        """
        own = self.by_method.get(method, {})
        tasks = [own.get(task, {}) for task in self.tasks or own]
        seeds = [seed for seed in (tasks[0] if tasks else {}) if all(seed in task for task in tasks)]
        return {seed: float(np.mean([task[seed] for task in tasks])) for seed in seeds}

    def of_task(self, method: str, task: str) -> Estimate | None:
        """One task's change over seeds; None where nothing can be compared.

        Args:
            method: The method's key.
            task: The task's name.

        Example:
            >>> Changes("single", {"mgda": {"a": {0: 1.0, 1: 2.0}}}).of_task("mgda", "a").mean
            1.5
        """
        return estimate(self.by_method.get(method, {}).get(task, {}).values())

    def compare(self, method: Method) -> Comparison:
        """What the 95 % interval of the mean over tasks supports.

        Args:
            method: Which one.

        Example:
            >>> from counterpoint.report.methods import Method
            >>> changes = Changes("single", {"mgda": {"a": {0: 1.0, 1: 1.1}}})
            >>> changes.compare(Method("mgda", "MGDA-UB", "#c84e00", "solid")).outcome.name
            'BETTER'
        """
        found = estimate(self.mean(method.key).values())
        if found is None:
            return Comparison(method, Outcome.UNPAIRED, None, 0)
        outcome = judge(found)
        known = None if outcome is Outcome.UNDEFINED else found
        return Comparison(method, outcome, known, len(self.by_method[method.key]))


def changes_against(scores: pd.DataFrame, reference: str) -> Changes:
    """Compares every method with the same seed of a reference.

    Of each metric the relative change from the reference's value, with the sign that makes more better; of each task
    the mean over its metrics (Delta_m, `Maninis et al. 2019 <https://arxiv.org/abs/1904.08918>`_, Eq. 4, as
    :meth:`~counterpoint.study.recipes.results.RecipeResults.improvement`, but a value that is not a number makes the
    mean undefined instead of being left out of it).

    Args:
        scores: ``RecipeResults.scores``.
        reference: Key of the method to compare with.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", 0, "a", "accuracy", "maximize", 0.5), ("mgda", 0, "a", "accuracy", "maximize", 0.6),
        ...         ("single", 0, "a", "error", "minimize", 0.2), ("mgda", 0, "a", "error", "minimize", 0.1)]
        >>> frame = pd.DataFrame(rows, columns=["method", "seed", "task", "metric", "direction", "value"])
        >>> round(changes_against(frame, "single").by_method["mgda"]["a"][0], 6)  # (20 % + 50 %) / 2
        35.0
    """
    columns = (scores[name].tolist() for name in ("method", "seed", "task", "metric", "direction", "value"))
    rows = [(str(m), int(s), str(t), str(k), d, float(v)) for m, s, t, k, d, v in zip(*columns, strict=True)]
    base = {(seed, task, metric): value for method, seed, task, metric, _, value in rows if method == reference}
    # method -> task -> seed -> metric -> percent
    found: dict[str, dict[str, dict[int, dict[str, float]]]] = {}
    for method, seed, task, metric, direction, value in rows:
        theirs = base.get((seed, task, metric))
        if method == reference or theirs is None:
            continue
        sign = 1.0 if direction == "maximize" else -1.0
        change = 100.0 * sign * (value - theirs) / abs(theirs) if theirs else math.nan
        found.setdefault(method, {}).setdefault(task, {}).setdefault(seed, {})[metric] = change
    # Of all methods: a task that the reference, or a method, failed at with every seed is not found above.
    metrics: dict[str, set[str]] = {}
    for _, _, task, metric, *_ in rows:
        metrics.setdefault(task, set()).add(metric)
    by_method = {
        key: {task: _over_metrics(seeds, len(metrics[task])) for task, seeds in tasks.items()}
        for key, tasks in found.items()
    }
    return Changes(reference, by_method, tuple(metrics))


def _over_metrics(seeds: Mapping[int, Mapping[str, float]], metrics: int) -> dict[int, float]:
    # As with tasks: the mean over fewer metrics would be of something else.
    return {seed: float(np.mean([*values.values()])) for seed, values in seeds.items() if len(values) == metrics}


def estimate(values: Iterable[float]) -> Estimate | None:
    """The mean over seeds with its interval; None without a value, not a number where one of them is not finite.

    Args:
        values: One a seed.

    Example:
        >>> estimate([]), estimate([1.0, float("inf")]).mean, estimate([1.0, 3.0]).mean
        (None, nan, 2.0)
    """
    sample = list(values)
    if not sample:
        return None
    if not all(map(math.isfinite, sample)):
        return Estimate(math.nan, -math.inf, math.inf, 0.0, len(sample))
    return Estimate.of(sample)
