"""The results store of a recipe: every metric of every method, its course, and a few pictures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.study.results_folder import ResultsFormat
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

SCORES = [
    "method",
    "label",
    "seed",
    "task",
    "metric",
    "direction",
    "main",
    "value",
    "validation_value",
    "loss",
    "seconds",
    "run",
]
HISTORY = ["run", "method", "label", "seed", "epoch", "task", "validation_loss", "validation_value"]
PICTURES = ["example", "kind", "task", "method", "label", "png"]
FORMAT = ResultsFormat(
    "recipe", 1, {"scores": SCORES, "history": HISTORY, "pictures": PICTURES}, "recipe", again="recipe"
)


@dataclass(frozen=True, eq=False)
class RecipeResults:
    """Everything a finished recipe measured.

    Attributes:
        scores: One row per method, seed, task and metric: ``method`` (key), ``label`` (for people), ``direction``
            (``"maximize"`` or ``"minimize"``), whether it is the task's ``main`` metric, test ``value`` at the epoch
            with the best validation score, ``validation_value``, test ``loss``; ``seconds`` of training of the ``run``.
        history: The main metric and the loss on validation rows by ``epoch``.
        pictures: A few test rows of the first seed as PNG bytes: ``kind`` is ``"input"``, ``"target"`` or
            ``"prediction"``.
        about: The recipe's facts: title, question, paper, data, tasks, methods, network, training, differences from the
            paper, command, versions, machine, start, seconds.

    Example:
        >>> import pandas as pd
        >>> facts = {"seed": 0, "task": "a", "metric": "accuracy", "direction": "maximize", "main": True}
        >>> scores = pd.DataFrame([{"method": method, "label": method, "value": value, **facts}
        ...                        for method, value in [("single", 0.5), ("mgda", 0.6)]])
        >>> results = RecipeResults(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=PICTURES))
        >>> results.improvement()["value"].round(6).tolist()
        [0.0, 20.0]
    """

    scores: pd.DataFrame
    history: pd.DataFrame
    pictures: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)

    def improvement(self, reference: str = BASELINE) -> pd.DataFrame:
        """Mean relative improvement over another method, in percent, by method and seed; positive is better.

        Of each metric the relative change from the reference's value of the same seed, with the sign that makes more
        better; the mean over a task's metrics, then over tasks (Delta_m, `Maninis et al. 2019
        <https://arxiv.org/abs/1904.08918>`_, Eq. 4; with several metrics a task as in published comparisons on NYUv2).

        Args:
            reference: Key of the method to compare with.

        Returns:
            Columns ``method``, ``label``, ``seed``, ``value``, for seeds that have all tasks and metrics of both; no
            rows if the reference was not trained. NaN where a metric is, or the reference scores 0.
        """
        keys = ["seed", "task", "metric"]
        own = self.scores[["method", "label", *keys, "direction", "value"]]
        base = own.loc[own["method"] == reference, [*keys, "value"]].rename(columns={"value": "base"})
        joined = own.merge(base, on=keys)
        sign = np.where(joined["direction"] == "maximize", 1.0, -1.0)
        size = joined["base"].abs().replace(0.0, np.nan)
        joined["value"] = 100.0 * sign * (joined["value"] - joined["base"]) / size
        # A seed that lacks a task or a metric would be the mean of something else.
        by_seed = joined.groupby(["method", "label", "seed"], sort=False)
        whole = by_seed["value"].transform("size") == own[["task", "metric"]].drop_duplicates().shape[0]
        by_task = joined[whole].groupby(["method", "label", "seed", "task"], sort=False)["value"]
        means = by_task.agg(lambda values: values.mean(skipna=False)).groupby(["method", "label", "seed"], sort=False)
        return means.agg(lambda values: values.mean(skipna=False)).reset_index()

    def save(self, folder: str | Path) -> None:
        """Writes Parquet tables and a JSON file, each completely or not at all.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        tables = {"scores": self.scores, "history": self.history, "pictures": self.pictures}
        FORMAT.save(folder, tables, self.about)

    @classmethod
    def load(cls, folder: str | Path) -> RecipeResults:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no results, or results of another schema.
        """
        return FORMAT.load(folder, lambda tables, facts: cls(**tables, about=facts))
