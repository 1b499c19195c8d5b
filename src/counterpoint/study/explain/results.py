"""What an explain study measured, as tables in one folder. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from counterpoint.study.results_folder import ResultsFormat
from counterpoint.study.summary import BASELINE
from counterpoint.trajectory.curve import Trajectory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

POINTS = ("method", "seed", "task", "step", "quantity", "value")
RUNS = ("method", "seed", "tasks", "steps", "seconds", "probe_seconds", "curvature_seconds", "parameters")
FORMAT = ResultsFormat("explain", 1, {"points": POINTS, "runs": RUNS}, "explanation")


@dataclass(frozen=True, eq=False)
class ExplainResults:
    """Everything that the runs of an explain study recorded.

    Attributes:
        points: One row a measurement: ``method`` (``"single"`` or a weighting's key), ``seed``, ``task``, ``step``,
            ``quantity`` (``"train_loss"``, ``"test_loss"``, ``"test_metric"`` or a key of
            :data:`~counterpoint.study.explain.factors.FACTORS`) and ``value``.
        runs: One row a training: ``method``, ``seed``, ``tasks`` (their names, joined by commas), ``steps``,
            ``seconds`` without the probes, ``probe_seconds`` of losses and gradients, ``curvature_seconds``,
            ``parameters``.
        about: The study's facts: title, data, settings, ``methods`` ({key: label}), ``tasks`` ({name: {"metric",
            "direction"}}), command, versions, machine, start, seconds.
    """

    points: pd.DataFrame
    runs: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> dict[str, str]:
        """Keys and labels of the ways of sharing, without single-task training."""
        return {key: label for key, label in self.about["methods"].items() if key != BASELINE}

    @property
    def tasks(self) -> Mapping[str, Mapping[str, str]]:
        """Metric and direction of each task."""
        tasks: Mapping[str, Mapping[str, str]] = self.about["tasks"]
        return tasks

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, rising."""
        return tuple(sorted(int(seed) for seed in self.runs["seed"].unique()))

    def trajectory(self, method: str, task: str, seed: int, quantity: str) -> Trajectory:
        """A quantity of a run along its training loss.

        Raises:
            ValueError: if the run has not recorded it at two points or more at which the training loss fell.
        """
        rows = self._by_run.get((method, task, seed), {})
        losses, values = rows.get("train_loss", {}), rows.get(quantity, {})
        steps = sorted(set(losses) & set(values))
        return Trajectory([losses[step] for step in steps], [values[step] for step in steps], steps)

    @cached_property
    def _by_run(self) -> dict[tuple[str, str, int], dict[str, dict[int, float]]]:
        found: dict[tuple[str, str, int], dict[str, dict[int, float]]] = {}
        for method, seed, task, step, quantity, value in self.points[list(POINTS)].itertuples(index=False):
            run = found.setdefault((str(method), str(task), int(seed)), {})
            run.setdefault(str(quantity), {})[int(step)] = float(value)
        return found

    def save(self, folder: str | Path) -> None:
        """Writes the tables as Parquet and the facts as JSON, each completely or not at all.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        FORMAT.save(folder, {"points": self.points, "runs": self.runs}, self.about)

    @classmethod
    def load(cls, folder: str | Path) -> ExplainResults:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no such results.
        """
        return FORMAT.load(folder, lambda tables, facts: cls(**tables, about=facts))
