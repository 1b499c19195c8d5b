"""The results store of a grouping study: what was measured, which groupings it led to, and how their networks did.

Imports no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.affinity.affinity import Affinity
from counterpoint.grouping.result import Network
from counterpoint.study.results import SCORES
from counterpoint.study.results_folder import ResultsFormat, check_writable
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterable

NETWORKS = [
    "run",
    "seed",
    "task",
    "metric",
    "direction",
    "value",
    "loss",
    "validation_value",
    "validation_loss",
    "seconds",
    "parameters",
]
FORMAT = ResultsFormat("grouping", 1, {"networks": NETWORKS}, "grouping")
FAMILIES = {
    BASELINE: "Each task alone",
    "together": "All together",
    "tag": "Task affinity (TAG)",
    "cs": "Gradient cosines (CS)",
    "hoa": "All pairs (HOA)",
    "random": "Random groups",
    "optimal": "Every set trained",
}


def run_id(tasks: Iterable[str], seed: int) -> str:
    """Names the training of a set of tasks with a seed; the order of the tasks does not matter."""
    return json.dumps([*sorted(tasks), seed], ensure_ascii=False)


@dataclass(frozen=True)
class Candidate:
    """One grouping that a method proposed.

    Attributes:
        family: What proposed it: a key of ``FAMILIES``.
        size: How many networks it was allowed.
        networks: The networks.
        seed: The seed that it is for; ``None`` if one grouping serves all seeds.
        replicate: Number of the draw, for random groups.
        score: Mean predicted score of the served tasks, ``None`` where nothing was predicted.
        bound: No grouping of this size scores more.
        status: ``"optimal"`` or ``"feasible"``, of the search for this grouping.
        search_seconds: Trainings for one seed that had to precede it and are not of its own networks, and the search.
        follows_rules: Whether the study's rules allow it; a reference may break them, and is then nothing to choose.
    """

    family: str
    size: int
    networks: tuple[Network, ...]
    seed: int | None = None
    replicate: int = 0
    score: float | None = None
    bound: float | None = None
    status: str = "optimal"
    search_seconds: float = 0.0
    follows_rules: bool = True

    @property
    def method(self) -> str:
        """Key of the method: its family, number of networks, and draw."""
        if self.family in {BASELINE, "together"}:
            return self.family
        return f"{self.family}-{self.size}" + (f".{self.replicate}" if self.family == "random" else "")

    @property
    def label(self) -> str:
        """The method's name for people."""
        if self.family in {BASELINE, "together"}:
            return FAMILIES[self.family]
        draw = f", draw {self.replicate + 1}" if self.family == "random" else ""
        return f"{FAMILIES[self.family]}, {self.size}{draw}"


@dataclass(frozen=True, eq=False)
class GroupResults:
    """Everything a finished grouping study measured.

    Attributes:
        networks: One row per trained network and task: ``run`` (see :func:`run_id`), ``seed``, ``task``, ``metric``,
            ``direction``, test ``value`` and ``loss`` and the same on validation rows at the best checkpoint,
            ``seconds`` and ``parameters`` of the network.
        candidates: The groupings.
        affinity: Mean over the seeds of the measured affinities, or the given one.
        about: The study's facts: title, data, settings, command, versions, machine, start, seconds.
    """

    networks: pd.DataFrame
    candidates: tuple[Candidate, ...]
    affinity: Affinity
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Seeds with trained networks."""
        return sorted(int(seed) for seed in self.networks["seed"].unique())

    @property
    def scores(self) -> pd.DataFrame:
        """Test results by method, as in ``Results.scores``: each task from the network that serves it.

        Methods with a network that was not trained are left out.
        """
        by_key = {(str(row["run"]), str(row["task"])): row for row in self.networks.to_dict("records")}
        rows = [
            {**by_key[run_id(network.tasks, seed), task], "method": candidate.method, "label": candidate.label}
            for candidate in self.candidates
            for seed in (self.seeds if candidate.seed is None else [candidate.seed])
            for network in candidate.networks
            for task in network.serves
            if (run_id(network.tasks, seed), task) in by_key
        ]
        return pd.DataFrame(rows, columns=[*SCORES, "validation_value", "validation_loss"])

    def save(self, folder: str | Path) -> None:
        """Writes a Parquet table and JSON files, each completely or not at all.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        check_writable(folder)
        self.affinity.save(Path(folder) / "affinity.json")
        candidates = [asdict(candidate) for candidate in self.candidates]
        FORMAT.save(folder, {"networks": self.networks}, {**self.about, "candidates": candidates})

    @classmethod
    def load(cls, folder: str | Path) -> GroupResults:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no results, or results of another schema.
        """

        def made(tables: dict[str, pd.DataFrame], facts: dict[str, Any]) -> GroupResults:
            candidates = tuple(_candidate(row) for row in facts.pop("candidates"))
            return cls(tables["networks"], candidates, Affinity.load(Path(folder) / "affinity.json"), facts)

        return FORMAT.load(folder, made)


def _candidate(row: dict[str, Any]) -> Candidate:
    networks = tuple(Network(tuple(network["tasks"]), tuple(network["serves"])) for network in row["networks"])
    return Candidate(**{**row, "networks": networks})
