"""How long runs take, and which of them a budget has room for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from counterpoint.study.network_job import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.study.runs.job import RunJob

# Lightning's part of a step, validation after an epoch, and what a run costs before its first step and after its last.
_OVERHEAD, _RUN_SECONDS = 1.3, 0.5
_WARM, _TIMED = 3, 10
# What may be left of a budget for references: the rest is for what is compared with them.
_FOR_REFERENCES = 0.6


@dataclass(eq=False)
class Clock:
    """Seconds of a run, foretold from a few steps and corrected by runs that are done.

    Attributes:
        workers: Runs side by side.
    """

    workers: int
    _steps: dict[int, float] = field(default_factory=dict)
    _foretold: float = 0.0
    _taken: float = 0.0

    def of(self, job: RunJob) -> float:
        """Seconds that a run will take, by itself."""
        return self._raw(job) * (self._taken / self._foretold if self._foretold else 1.0)

    def of_all(self, jobs: Sequence[RunJob]) -> float:
        """Seconds that runs will take side by side."""
        each = [self.of(job) for job in jobs]
        return max(sum(each) / self.workers, max(each, default=0.0))

    def took(self, job: RunJob, seconds: float) -> None:
        """A run is done: later estimates are corrected by it."""
        self._foretold += self._raw(job)
        self._taken += seconds

    def _raw(self, job: RunJob) -> float:
        size = len(job.tasks)
        sizes = {1, len(job.source.tasks)}
        for known in sizes - self._steps.keys():
            self._steps[known] = _epoch_seconds(job, job.source.tasks[:known])
        low, high = min(sizes), max(sizes)
        share = (size - low) / (high - low) if high > low else 0.0
        epoch = self._steps[low] + share * (self._steps[high] - self._steps[low])
        return _RUN_SECONDS + job.fit.epochs * epoch


def _epoch_seconds(job: RunJob, tasks: tuple[str, ...]) -> float:
    """Seconds of an epoch for a network of these tasks, from a few steps of it."""
    splits = job.source.splits(tasks)
    module = job.source.build(tasks, "uniform", job.seed)
    optimizer = module.configure_optimizers()
    train = splits["train"]
    # A weighting's own arithmetic is small beside a step.
    batches = iter(train.batches(job.fit.batch_size, shuffle_seed=0))
    times = []
    with one_thread():
        for _ in range(_WARM + _TIMED):
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            loss = sum(module.losses_of(batch).values(), torch.zeros(()))
            optimizer.zero_grad()
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            times.append(time.perf_counter() - started)
    step = sorted(times)[len(times) // 2]
    steps = len(train) / job.fit.batch_size
    validation = 0.3 * len(splits["validation"]) / job.fit.batch_size
    return step * (steps * _OVERHEAD + validation)


def seeds_that_fit(wanted: int, seconds: float | None, of_one_seed: float) -> int:
    """For how many seeds the references can be trained: at least two, without which nothing can be said.

    Example:
        >>> seeds_that_fit(5, None, 60.0), seeds_that_fit(5, 300.0, 60.0), seeds_that_fit(5, 10.0, 60.0)
        (5, 3, 2)
    """
    if seconds is None:
        return wanted
    return min(wanted, max(2, int(_FOR_REFERENCES * seconds / of_one_seed)))


def how_many_fit(seconds: float, rungs: int, cost: Callable[[int, int], float], most: int) -> int:
    """How many candidates can be trained with one more seed, if half of them are dropped after each seed that follows.

    Args:
        seconds: What is left.
        rungs: Seeds to come, this one included.
        cost: Seconds of so many of the best candidates for the seed that comes after so many others.
        most: Candidates that there are.

    Example:
        >>> how_many_fit(70.0, 3, lambda count, rung: 10.0 * count, most=8)
        4
    """
    for count in range(most, 0, -1):
        left, total = count, 0.0
        for rung in range(rungs):
            total += cost(left, rung)
            left = (left + 1) // 2
        if total <= seconds:
            return count
    return 0
