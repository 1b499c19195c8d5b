"""The results store of a recipe: every metric of every method, its course, and a few pictures. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from counterpoint.study.results import ResultsError, check_columns, kind_of, save_study
from counterpoint.study.summary import BASELINE

KIND, SCHEMA_VERSION = "recipe", 1

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
_COLUMNS = {"scores": SCORES, "history": HISTORY, "pictures": PICTURES}


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
        save_study(folder, tables, {"kind": KIND, "schema_version": SCHEMA_VERSION, **self.about})

    @classmethod
    def load(cls, folder: str | Path) -> RecipeResults:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no results, or results of another schema.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "study.json").read_text(encoding="utf-8"))
            schema = about.pop("kind", None), about.pop("schema_version", None)
            tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _COLUMNS}
        except (OSError, ValueError, AttributeError) as error:
            raise ResultsError(f"'{folder}' holds no finished recipe ({error}); run the recipe into it first") from None
        if schema != (KIND, SCHEMA_VERSION):
            raise ResultsError(f"'{folder}' holds no recipe of schema {SCHEMA_VERSION}; run the recipe again")
        check_columns(folder, tables, _COLUMNS, "recipe")
        return cls(**tables, about=about)


def is_recipe(folder: str | Path) -> bool:
    """Whether a folder holds a recipe's results, of whatever schema, rather than another study's."""
    return kind_of(folder) == KIND
