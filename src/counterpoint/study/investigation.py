"""Trains what a study compares, seed by seed, within its budget."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.affinity import Affinity
from counterpoint.study import candidates
from counterpoint.study.budget import Clock, how_many_fit, seeds_that_fit
from counterpoint.study.choices import Choices
from counterpoint.study.comparison import Forecast
from counterpoint.study.execution import Failure
from counterpoint.study.methods import Method
from counterpoint.study.runs.content import digest
from counterpoint.study.runs.train import train_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from counterpoint.study.comparison import Comparison
    from counterpoint.study.execution import Executor
    from counterpoint.study.runs.job import RunJob
    from counterpoint.study.runs.store import RunRecord
    from counterpoint.study.tally import Tally
    from counterpoint.study.watcher import StudyWatcher

# Every k takes k trainings a seed: more are asked for with the number of networks.
_MOST_GROUPS = 3


@dataclass(eq=False)
class Investigation:
    """The state of a study that runs. Made anew it takes up where an earlier one, killed or done, left.

    Attributes:
        tally: Finished runs; is filled.
        comparison: What to compare.
        folder: The study's folder.
        executor: Where runs are done.
        workers: How many of them side by side.
        watcher: Is told how things are going.
        affinity: Mean of what the joint trainings measured, once they are done.
        dropped: What was left out for want of time, and why.
        crashed: Runs that raised.
        trials: What became of the loss scales that were tried.
        planned: The most trainings that there could be, before the budget dropped any.
    """

    tally: Tally
    comparison: Comparison
    folder: Path
    executor: Executor
    workers: int
    watcher: StudyWatcher
    affinity: Affinity | None = None
    dropped: list[dict[str, str]] = field(default_factory=list)
    crashed: list[dict[str, str]] = field(default_factory=list)
    trials: list[dict[str, Any]] = field(default_factory=list)
    known: list[Method] = field(default_factory=list)
    planned: int = 0
    foretold: float = 0.0

    def __post_init__(self) -> None:
        self.clock = Clock(self.workers)
        self._started = time.perf_counter()
        self._earlier = 0.0
        own = {name: getattr(self.comparison, name) for name in ("networks", "seeds", "scale_trials", "minutes")}
        joint = self.tally.job(self.tally.tasks, 0).content
        identity = digest({**joint, **own, "weightings": list(self.comparison.weightings)})
        self._choices = Choices(self.folder / "choices.json", identity)

    def run(self) -> list[Method]:
        """Trains everything that is to be compared.

        Returns:
            The methods that have results, the tuned loss scales among them.
        """
        tasks, budget = self.tally.tasks, self.comparison.budget
        references = candidates.references(tasks)
        first = (
            candidates.weightings(self.comparison.weightings, tasks),
            candidates.trials(tasks, self.comparison.scale_trials),
        )
        self._forecast(references, candidates.in_turn(*first))
        of_one = self.clock.of_all([job for method in references for job in self.tally.jobs(method, 0)])
        self.tally.seeds = self._chosen("seeds", lambda: seeds_that_fit(self.comparison.seeds, budget, of_one))
        if budget is not None and self.tally.seeds < self.comparison.seeds:
            fits = self._chosen("seeds fit", lambda: self.tally.seeds * of_one <= budget)
            room = "has room for" if fits else "is too short even for the fewest that tell anything,"
            self._drop(
                f"{self.comparison.seeds - self.tally.seeds} of {self.comparison.seeds} seeds",
                f"the budget of {self.comparison.minutes:g} min {room} {self.tally.seeds} seeds",
            )
        self._train("Each task alone, and all together", references, range(self.tally.seeds))
        if not self.tally.served(references[:1]):  # nothing could be compared with it, however long that took
            return [method for method in references if self.tally.served([method])]
        compared = candidates.in_turn(self._groupings(references[1]), *first)
        self.known = [*references, *(method for method in compared if not candidates.is_trial(method))]
        self._rungs(compared)
        methods = [*self.known, *self._tuned([method for method in compared if candidates.is_trial(method)])]
        return [method for method in methods if self.tally.served([method])]

    def led_to(self, method: Method) -> list[RunJob]:
        """Runs for one seed that had to precede a method's own; all loss scales tried, whatever their seed."""
        if method.key.startswith("groups"):
            return [self.tally.job(self.tally.tasks, 0)]
        if not method.scales:
            return []
        return [
            self.tally.job(self.tally.tasks, seed, scales=tuple(trial["scales"].items()))
            for trial in self.trials
            for seed in range(trial["seeds"])
        ]

    def plan(self) -> dict[str, Any]:
        """What was planned, done, dropped and crashed: see ``StudyResults.plan``."""
        served = self.tally.served(self.known)
        records = self.tally.records
        return {
            "methods": [
                {
                    "key": method.key,
                    "label": method.label,
                    "networks": len(method.networks),
                    "seeds_planned": self.comparison.seeds,
                    "seeds_done": len(served.get(method.key, {})),
                }
                for method in self.known
            ],
            "runs_planned": max(self.planned, len(records) + len(self.crashed)),
            "runs_done": len(records),
            "runs_reused": sum(record.reused for record in records.values()),
            "seconds_estimated": self.foretold,
            "seconds_budget": self.comparison.budget,
            "seconds_spent": self._spent(),
            "dropped": self.dropped,
            "crashed": self.crashed,
            "scales": self.trials,
        }

    def _chosen(self, name: str, make: Callable[[], Any]) -> Any:
        """Without a budget nothing depends on the clock, and there is nothing to remember."""
        return make() if self.comparison.budget is None else self._choices.made(name, make)

    def _forecast(self, references: Sequence[Method], first: Sequence[Method]) -> None:
        """Of groupings, which are not known yet, the most that there can be are counted."""
        tasks, seeds = self.tally.tasks, range(self.comparison.seeds)
        wanted = {
            job.run: job
            for seed in seeds
            for method in (*references, *self._halved(first, seed))
            for job in self.tally.jobs(method, seed)
        }
        found = {run for run in wanted if self.tally.store.finished(run) is not None}
        # A group is about its share of all tasks; which ones is not known, so any will do for an estimate.
        groups = [
            self.tally.job(tasks[: max(2, round(len(tasks) / size))], seed)
            for seed in seeds
            for size in range(2, self._most_groups + 1)
            for _ in range(size)
        ]
        self.foretold = self.clock.of_all([job for run, job in wanted.items() if run not in found] + groups)
        self.planned = len(wanted) + len(groups)
        self.watcher.planned(Forecast(self.planned, len(found), self.foretold, self.comparison.budget, self.workers))

    @property
    def _most_groups(self) -> int:
        asked = self.comparison.networks
        return min(_MOST_GROUPS if asked is None else asked, len(self.tally.tasks) - 1)

    def _groupings(self, together: Method) -> list[Method]:
        runs = [job.run for seed in range(self.tally.seeds) for job in self.tally.jobs(together, seed)]
        measured = [self.tally.records[run].affinity for run in runs if run in self.tally.records]
        known = [affinity for affinity in measured if affinity is not None]
        self.affinity = Affinity.mean(known) if known else None
        if self.affinity is None or not np.isfinite(self.affinity.values).all():
            return []
        return candidates.groupings(self.affinity, self._most_groups)

    def _rungs(self, compared: list[Method]) -> None:
        """One more seed for what is still in the running, until all seeds are done."""
        left = compared
        for seed in range(self.tally.seeds):
            going = self._halved(candidates.ranked(left, self._scores(left, seed)), seed)
            kept = self._chosen(f"seed {seed}", partial(self._affordable, going, seed))
            for method in going:
                if method.key not in kept:
                    self._drop(
                        method.label + (f", after {seed} of {self.tally.seeds} seeds" if seed else ""),
                        f"the time left has room for {len(kept)} of {len(going)}"
                        + (", the others do better on validation rows" if seed else ""),
                    )
            left = [method for method in going if method.key in kept]
            if left:
                title = f"{len(left)} ways of sharing, seed {seed + 1} of {self.tally.seeds}"
                self._train(title, left, [seed])

    def _scores(self, methods: Sequence[Method], seeds: int) -> dict[str, float]:
        return self.tally.validation(methods, range(seeds)) if seeds else {}

    def _halved(self, order: Sequence[Method], rung: int) -> list[Method]:
        """Half of the loss scales, the best ones, go on after each seed; everything else goes on."""
        trials = [method.key for method in order if candidates.is_trial(method)]
        going = trials[: -(-self.comparison.scale_trials // 2**rung)]
        return [method for method in order if not candidates.is_trial(method) or method.key in going]

    def _affordable(self, order: Sequence[Method], seed: int) -> list[str]:
        if self.comparison.budget is None:
            return [method.key for method in order]

        def cost(count: int, rung: int) -> float:
            jobs = [job for method in order[:count] for job in self.tally.jobs(method, seed + rung)]
            return self.clock.of_all([job for job in jobs if self.tally.store.finished(job.run) is None])

        # What another study of this folder has finished costs nothing, also when no time is left.
        left = max(0.0, self.comparison.budget - self._spent())
        room = how_many_fit(left, self.tally.seeds - seed, cost, len(order))
        return [method.key for method in order[:room]]

    def _spent(self) -> float:
        """Seconds so far, of earlier processes, too."""
        return time.perf_counter() - self._started + self._earlier / self.workers

    def _tuned(self, trials: Sequence[Method]) -> list[Method]:
        """The best loss scales among those that have the most seeds, if they are better than the plain sum."""
        plain = candidates.references(self.tally.tasks)[1]
        served, scores = self.tally.served(trials), self._scores([*trials, plain], self.tally.seeds)
        seeds = {method.key: len(served.get(method.key, {})) for method in trials}
        self.trials = [
            {"scales": dict(method.scales), "seeds": seeds[method.key], "validation": scores.get(method.key)}
            for method in trials
        ]
        finalists = [method for method in trials if method.key in scores and seeds[method.key] == max(seeds.values())]
        if not finalists:
            return []
        best = max(finalists, key=lambda method: scores[method.key])
        if plain.key in scores:
            # Scales of one are among those to choose from; then the plain sum is the tuned baseline.
            seen = len(self.tally.served([plain])[plain.key])
            ones = dict.fromkeys(self.tally.tasks, 1.0)
            self.trials.append({"scales": ones, "seeds": seen, "validation": scores[plain.key]})
            if scores[plain.key] >= scores[best.key]:
                return []
        self.known.append(Method.tuned(dict(best.scales)))
        return self.known[-1:]

    def _train(self, title: str, methods: Sequence[Method], seeds: Iterable[int]) -> None:
        wanted = {job.run: job for seed in seeds for method in methods for job in self.tally.jobs(method, seed)}
        jobs = []
        for run, job in wanted.items():
            if run in self.tally.records:
                continue
            record = self.tally.store.finished(run)
            if record is None:
                jobs.append(job)
            else:
                self.tally.records[run] = record
                self._earlier += record.seconds
                self.clock.took(job, record.seconds)
        if not jobs:
            return
        # The longest first, so that no worker is left with one at the end.
        jobs.sort(key=lambda job: (-len(job.tasks), job.seed))
        self.watcher.stage(title, [job.title for job in jobs])

        def on_done(index: int, outcome: RunRecord | Failure) -> None:
            job = jobs[index]
            if isinstance(outcome, Failure):
                self.tally.store.crashed(job.run, job.title, outcome.error, outcome.trace)
                self.crashed.append({"run": job.run, "title": job.title, "error": outcome.error})
                self.watcher.failed(job.title, outcome.error)
            else:
                self.tally.records[job.run] = outcome
                self.clock.took(job, outcome.seconds)
                self.watcher.done(index, outcome.seconds)

        self.executor.run(jobs, train_run, self.watcher.progress, on_done)

    def _drop(self, what: str, why: str) -> None:
        self.dropped.append({"what": what, "why": why})
        self.watcher.dropped(what, why)
