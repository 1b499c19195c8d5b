"""Trains every method that a recipe compares, and gathers what came out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.study.execution import Failure
from counterpoint.study.loss_scales import candidate_scales
from counterpoint.study.recipes.job import RecipeJob, RecipeRecord, train_recipe_job
from counterpoint.study.recipes.methods import TUNED, RecipeMethod
from counterpoint.study.runs.store import RunStore
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from counterpoint.study.execution import Executor
    from counterpoint.study.recipes.recipe import Recipe
    from counterpoint.study.source import Source
    from counterpoint.study.watcher import Watcher

# Test rows of the first seed whose predictions are kept for pictures.
SHOWN = 4


@dataclass(eq=False)
class Trainings:
    """The trainings of a comparison.

    Attributes:
        recipe: What to compare.
        source: Data and networks.
        out: Folder; finished trainings in it are not done again.
        executor: Where trainings run.
        watcher: Is told how things are going.
        pictures: Whether outputs for pictures are kept.
        records: What trainings left, by :attr:`RecipeJob.run`; is filled.
        failed: Trainings without results, by :attr:`RecipeJob.run`, and why; is filled.
        scales: The loss scales that were chosen, if any were sought; is filled.
        tried: All loss scales that were tried, with what they scored; is filled.
        candidates: The trainings that tried them; is filled.
    """

    recipe: Recipe
    source: Source
    out: Path
    executor: Executor
    watcher: Watcher
    pictures: bool = False
    records: dict[str, RecipeRecord] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[RecipeJob] = field(default_factory=list)

    def jobs(self, method: RecipeMethod, seed: int) -> list[RecipeJob]:
        """The networks of one method with one seed: one for each task, or one for all."""
        tasks = self.source.tasks
        if method.key == BASELINE:
            return [self._job((task,), method, seed) for task in tasks]
        return [self._job(tasks, method, seed, self.scales if method.key == TUNED else {})]

    def run(self) -> None:
        """Trains everything: first what is known beforehand, then the chosen loss scales with all seeds.

        One that fails, because it diverges for example, does not stop the others: that is a result, too.
        """
        seeds = range(self.recipe.seeds)
        methods = [method for method in self.recipe.methods if method.key != TUNED]
        first = [job for seed in seeds for method in methods for job in self.jobs(method, seed)]
        tuned = [method for method in self.recipe.methods if method.key == TUNED]
        candidates = (
            [(scales, self._job(self.source.tasks, tuned[0], 0, scales)) for scales in self._candidates()]
            if tuned
            else []
        )
        self.candidates = [job for _, job in candidates]
        self._train("Training", [*first, *self.candidates])
        if tuned:
            self._choose(candidates)
            if self.scales:
                self._train("The chosen loss scales", [job for seed in seeds for job in self.jobs(tuned[0], seed)])

    def _candidates(self) -> list[dict[str, float]]:
        """Loss scales to try; the plain sum is one of them."""
        tasks = self.source.tasks
        return [dict.fromkeys(tasks, 1.0), *candidate_scales(tasks, self.recipe.trials)]

    def _job(
        self, tasks: tuple[str, ...], method: RecipeMethod, seed: int, scales: Mapping[str, float] | None = None
    ) -> RecipeJob:
        return RecipeJob(
            self.source,
            tasks,
            method,
            seed,
            self.recipe.fit,
            RunStore(self.out / "runs"),
            tuple((scales or {}).items()),
            SHOWN if self.pictures and seed == 0 else 0,
        )

    def _train(self, title: str, wanted: Sequence[RecipeJob]) -> None:
        # The longest first, so that no worker is left with one at the end; each once, whoever asks for it.
        jobs = list(
            {
                job.run: job for job in sorted(wanted, key=lambda job: -len(job.tasks)) if job.run not in self.records
            }.values()
        )
        if not jobs:
            return
        self.watcher.stage(title, [job.title for job in jobs])

        def done(index: int, outcome: RecipeRecord | Failure) -> None:
            self.watcher.done(index, math.nan if isinstance(outcome, Failure) else outcome.seconds)

        for job, outcome in zip(
            jobs, self.executor.run(jobs, train_recipe_job, self.watcher.progress, done), strict=True
        ):
            if isinstance(outcome, Failure):
                self.failed[job.run] = outcome
            else:
                self.records[job.run] = outcome

    def _choose(self, candidates: Sequence[tuple[dict[str, float], RecipeJob]]) -> None:
        """The scales with the best mean validation metric, each task's in units of its best constant prediction."""
        self.tried = [
            {"scales": scales, "score": _score(self.records[job.run])}
            for scales, job in candidates
            if job.run in self.records
        ]
        finite = [each for each in self.tried if math.isfinite(each["score"])]
        if finite:
            self.scales = dict(max(finite, key=lambda each: each["score"])["scales"])


def _score(record: RecipeRecord) -> float:
    signed = [
        (1.0 if row["direction"] == "maximize" else -1.0) * row["validation_value"] / row["unit"]
        for row in record.rows
        if row["main"]
    ]
    return float(np.mean(signed))
