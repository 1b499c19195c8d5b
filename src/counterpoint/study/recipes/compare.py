"""Trains every way that a recipe compares, and gathers what came out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from counterpoint.study.execution import Failure
from counterpoint.study.loss_scales import candidate_scales
from counterpoint.study.recipes.trial import Trial, TrialRecord, run_trial
from counterpoint.study.recipes.ways import TUNED, Way
from counterpoint.study.runs.store import RunStore
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from counterpoint.study.execution import Executor
    from counterpoint.study.recipes.recipe import Recipe
    from counterpoint.study.source import Source

# Test rows of the first seed whose predictions are kept for pictures.
SHOWN = 4


class Watcher(Protocol):
    """Whoever wants to know how a recipe gets on."""

    def stage(self, title: str, runs: Sequence[str]) -> None:
        """Trainings with these titles are about to start."""

    def progress(self, index: int, share: float) -> None:
        """A training of this stage has done a share of its work."""

    def done(self, index: int, seconds: float) -> None:
        """A training of this stage is finished; NaN seconds if it failed."""


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
        records: What trainings left, by :attr:`Trial.run`; is filled.
        failed: Trainings without results, by :attr:`Trial.run`, and why; is filled.
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
    records: dict[str, TrialRecord] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[Trial] = field(default_factory=list)

    def trials(self, way: Way, seed: int) -> list[Trial]:
        """The networks of one way with one seed: one for each task, or one for all."""
        tasks = self.source.tasks
        if way.key == BASELINE:
            return [self._trial((task,), way, seed) for task in tasks]
        return [self._trial(tasks, way, seed, self.scales if way.key == TUNED else {})]

    def run(self) -> None:
        """Trains everything: first what is known beforehand, then the chosen loss scales with all seeds.

        One that fails, because it diverges for example, does not stop the others: that is a result, too.
        """
        seeds = range(self.recipe.seeds)
        ways = [way for way in self.recipe.methods if way.key != TUNED]
        first = [trial for seed in seeds for way in ways for trial in self.trials(way, seed)]
        tuned = [way for way in self.recipe.methods if way.key == TUNED]
        candidates = (
            [(scales, self._trial(self.source.tasks, tuned[0], 0, scales)) for scales in self._candidates()]
            if tuned
            else []
        )
        self.candidates = [trial for _, trial in candidates]
        self._train("Training", [*first, *self.candidates])
        if tuned:
            self._choose(candidates)
            if self.scales:
                self._train(
                    "The chosen loss scales", [trial for seed in seeds for trial in self.trials(tuned[0], seed)]
                )

    def _candidates(self) -> list[dict[str, float]]:
        """Loss scales to try; the plain sum is one of them."""
        tasks = self.source.tasks
        return [dict.fromkeys(tasks, 1.0), *candidate_scales(tasks, self.recipe.trials)]

    def _trial(self, tasks: tuple[str, ...], way: Way, seed: int, scales: Mapping[str, float] | None = None) -> Trial:
        return Trial(
            self.source,
            tasks,
            way,
            seed,
            self.recipe.fit,
            RunStore(self.out / "runs"),
            tuple((scales or {}).items()),
            SHOWN if self.pictures and seed == 0 else 0,
        )

    def _train(self, title: str, trials: Sequence[Trial]) -> None:
        # The longest first, so that no worker is left with one at the end; each once, whoever asks for it.
        jobs = list(
            {
                job.run: job for job in sorted(trials, key=lambda job: -len(job.tasks)) if job.run not in self.records
            }.values()
        )
        if not jobs:
            return
        self.watcher.stage(title, [job.title for job in jobs])

        def done(index: int, outcome: TrialRecord | Failure) -> None:
            self.watcher.done(index, math.nan if isinstance(outcome, Failure) else outcome.seconds)

        for job, outcome in zip(jobs, self.executor.run(jobs, run_trial, self.watcher.progress, done), strict=True):
            if isinstance(outcome, Failure):
                self.failed[job.run] = outcome
            else:
                self.records[job.run] = outcome

    def _choose(self, candidates: Sequence[tuple[dict[str, float], Trial]]) -> None:
        """The scales with the best mean validation metric, each task's in units of its best constant prediction."""
        self.tried = [
            {"scales": scales, "score": _score(self.records[trial.run])}
            for scales, trial in candidates
            if trial.run in self.records
        ]
        finite = [each for each in self.tried if math.isfinite(each["score"])]
        if finite:
            self.scales = dict(max(finite, key=lambda each: each["score"])["scales"])


def _score(record: TrialRecord) -> float:
    signed = [
        (1.0 if row["direction"] == "maximize" else -1.0) * row["validation_value"] / row["unit"]
        for row in record.rows
        if row["main"]
    ]
    return float(np.mean(signed))
