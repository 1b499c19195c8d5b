"""What finished runs add up to: scores of methods, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from counterpoint.study import candidates
from counterpoint.study.decision import Cost
from counterpoint.study.methods import UNIFORM
from counterpoint.study.runs.job import RunJob
from counterpoint.study.study_results import RUNS, scores_of
from counterpoint.study.summary import delta_m

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from counterpoint.study.comparison import MeterSettings
    from counterpoint.study.methods import Method
    from counterpoint.study.runs.store import RunRecord, RunStore
    from counterpoint.study.source import Source
    from counterpoint.training import FitSettings


@dataclass(eq=False)
class Tally:
    """Finished runs, and which of them make up a method.

    Attributes:
        source: Data and networks.
        fit: How networks are trained.
        store: Where runs are.
        meter: How affinities are measured in the joint training.
        seeds: Seeds that the study has.
        records: Finished runs.
    """

    source: Source
    fit: FitSettings
    store: RunStore
    meter: MeterSettings
    seeds: int
    records: dict[str, RunRecord] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks."""
        return self.source.tasks

    def job(
        self, tasks: tuple[str, ...], seed: int, weighting: str = UNIFORM, scales: tuple[tuple[str, float], ...] = ()
    ) -> RunJob:
        """The run of a network. That of all tasks with the plain sum of their losses measures affinities."""
        joint = tasks == self.tasks and weighting == UNIFORM and not scales
        own = tuple((task, scale) for task, scale in scales if task in tasks)
        return RunJob(self.source, tasks, seed, self.fit, self.store, weighting, own, self.meter if joint else None)

    def jobs(self, method: Method, seed: int) -> list[RunJob]:
        """The runs of a method's networks."""
        return [self.job(network.tasks, seed, method.weighting, method.scales) for network in method.networks]

    @property
    def table(self) -> pd.DataFrame:
        """Every finished run."""
        return pd.DataFrame([row for record in self.records.values() for row in record.rows], columns=RUNS)

    def served(self, methods: Iterable[Method]) -> dict[str, dict[int, tuple[str, ...]]]:
        """The runs of each method's networks, for the seeds for which all of them are finished."""
        found: dict[str, dict[int, tuple[str, ...]]] = {}
        for method in methods:
            for seed in range(self.seeds):
                runs = tuple(job.run for job in self.jobs(method, seed))
                if all(run in self.records for run in runs):
                    found.setdefault(method.key, {})[seed] = runs
        return found

    def validation(self, methods: Sequence[Method], seeds: Iterable[int]) -> dict[str, float]:
        """Mean change against each task alone on validation rows, in percent; methods without one are left out."""
        everything = (*candidates.references(self.tasks), *methods)
        scores = scores_of(self.table, everything, self.served(everything), "validation")
        wanted = scores[scores["seed"].isin(list(seeds))]
        found = {}
        for method in methods:
            changes = list(delta_m(wanted, method.key).values())
            if changes and np.isfinite(changes).all():
                found[method.key] = float(np.mean(changes))
        return found

    def cost(self, method: Method, led: Sequence[RunJob] = ()) -> Cost:
        """What a method takes to serve and to train.

        Args:
            method: The method, with at least one seed.
            led: Runs for one seed that led to it.
        """
        served = self.served([method])[method.key]
        of_seeds = [[self.records[run] for run in runs] for runs in served.values()]
        rows = [record.rows[0] for record in of_seeds[0]]
        own = {run for runs in served.values() for run in runs}
        search = {job.run for job in led if job.run in self.records} - own
        return Cost(
            networks=len(method.networks),
            parameters=sum(row["parameters"] for row in rows),
            multiply_adds=sum(row["multiply_adds"] for row in rows),
            seconds=float(np.mean([sum(record.seconds for record in records) for records in of_seeds])),
            search_seconds=sum(self.records[run].seconds for run in search),
        )
