"""The results store of a study: its runs, the methods they add up to, the decision. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from counterpoint.affinity.affinity import Affinity
from counterpoint.study.decision import Decision
from counterpoint.study.methods import Method
from counterpoint.study.results import HISTORY, SCORES
from counterpoint.study.results_folder import ResultsFormat, check_writable

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNS = [
    "run",
    "seed",
    "task",
    "metric",
    "direction",
    "unit",
    "validation_value",
    "validation_loss",
    "test_value",
    "test_loss",
    "seconds",
    "parameters",
    "multiply_adds",
    "epochs",
    "best_epoch",
]
RUN_HISTORY = ["run", "epoch", "step", "split", "task", "other", "quantity", "value"]
PREDICTIONS = ["split", "row", "task", "target", "prediction", "loss"]
FORMAT = ResultsFormat("study", 1, {"runs": RUNS, "history": RUN_HISTORY}, "study")


@dataclass(frozen=True, eq=False)
class StudyResults:
    """Everything a finished study measured and decided.

    Attributes:
        runs: One row per run and task: ``run`` (names the folder ``runs/RUN``), ``seed``, ``task``, ``metric``,
            ``direction``, ``unit`` (what the metric is divided by where tasks are averaged), value and loss on
            validation and test rows at the best checkpoint, and of the whole run ``seconds`` of training,
            ``parameters``, ``multiply_adds`` of one row, ``epochs`` and ``best_epoch``.
        history: One row per measurement of the runs of the methods: see ``RUN_HISTORY`` and
            :class:`~counterpoint.study.results.Results`.
        methods: What was compared; each was trained with at least one seed.
        served: For each method and seed the runs of its networks, in the order of ``Method.networks``.
        decision: What to use, and how sure that is.
        affinity: Mean over the seeds of the affinities measured in the joint training, ``None`` if not measured.
        plan: What was planned, done, dropped and crashed; see :class:`~counterpoint.study.study.Study`.
        about: The study's facts: title, question, data, table, settings, command, versions, machine, start, seconds,
            bundle.
    """

    runs: pd.DataFrame
    history: pd.DataFrame
    methods: tuple[Method, ...]
    served: Mapping[str, Mapping[int, tuple[str, ...]]]
    decision: Decision
    affinity: Affinity | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(dict.fromkeys(self.runs["task"]))

    def method(self, key: str) -> Method:
        """The method of that key."""
        return next(method for method in self.methods if method.key == key)

    def scores(self, split: Literal["validation", "test"]) -> pd.DataFrame:
        """Results by method as in ``Results.scores``, with ``unit``: each task from the network that serves it."""
        return scores_of(self.runs, self.methods, self.served, split)

    def curves(self) -> pd.DataFrame:
        """``history`` with ``method`` and ``label``, as in ``Results.history``: each task from its serving network."""
        parts = []
        for method in self.methods:
            for seed, runs in self.served[method.key].items():
                for run, network in zip(runs, method.networks, strict=True):
                    rows = self.history[(self.history["run"] == run) & self.history["task"].isin(network.serves)]
                    parts.append(rows.assign(method=method.key, label=method.label, seed=seed))
        return pd.concat(parts, ignore_index=True)[HISTORY] if parts else pd.DataFrame(columns=HISTORY)

    def save(self, folder: str | Path) -> None:
        """Writes Parquet tables and JSON files, each completely or not at all; ``study.json`` comes last.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        check_writable(folder)
        if self.affinity is not None:
            self.affinity.save(Path(folder) / "affinity.json")
        about = {
            **self.about,
            "plan": self.plan,
            "methods": [method.to_json() for method in self.methods],
            "served": {
                key: {str(seed): list(runs) for seed, runs in seeds.items()} for key, seeds in self.served.items()
            },
            "decision": self.decision.to_json(),
            "measured": self.affinity is not None,
        }
        FORMAT.save(folder, {"runs": self.runs, "history": self.history}, about)

    @classmethod
    def load(cls, folder: str | Path) -> StudyResults:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no results, or results of another schema.
        """

        def made(tables: dict[str, pd.DataFrame], facts: dict[str, Any]) -> StudyResults:
            methods = tuple(Method.from_json(values) for values in facts.pop("methods"))
            served = {
                key: {int(seed): tuple(runs) for seed, runs in seeds.items()}
                for key, seeds in facts.pop("served").items()
            }
            decision, plan = Decision.from_json(facts.pop("decision")), facts.pop("plan")
            affinity = Affinity.load(Path(folder) / "affinity.json") if facts.pop("measured") else None
            return cls(tables["runs"], tables["history"], methods, served, decision, affinity, plan, facts)

        return FORMAT.load(folder, made)


def scores_of(
    runs: pd.DataFrame,
    methods: tuple[Method, ...],
    served: Mapping[str, Mapping[int, tuple[str, ...]]],
    split: Literal["validation", "test"],
) -> pd.DataFrame:
    """Results by method: see :meth:`StudyResults.scores`."""
    by_key = {(str(row["run"]), str(row["task"])): row for row in runs.to_dict("records")}
    rows = [
        {
            **(row := by_key[run, task]),
            "method": method.key,
            "label": method.label,
            "seed": seed,
            "value": row[f"{split}_value"],
            "loss": row[f"{split}_loss"],
        }
        for method in methods
        for seed, names in served.get(method.key, {}).items()
        for run, network in zip(names, method.networks, strict=True)
        for task in network.serves
    ]
    return pd.DataFrame(rows, columns=[*SCORES, "unit", "multiply_adds"])
