"""The demo study: two digits on one canvas, trained alone, together, and together with balanced gradients."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.balancing import FanOut
from counterpoint.data import DigitPairs
from counterpoint.data.digit_pairs import TASKS
from counterpoint.study.digit_pairs import LEARNING_RATE, Job, Outcome, describe, train
from counterpoint.study.execution import cores, run_all
from counterpoint.study.plan import Run, plan
from counterpoint.study.provenance import provenance
from counterpoint.study.results import Results
from counterpoint.study.results_folder import check_writable, start_over
from counterpoint.study.weighting_choice import weighting_of, written
from counterpoint.training import FitSettings

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Demo:
    """The digit-pair study.

    Attributes:
        weightings: Names of the weightings to train the two tasks together with.
        seeds: Trainings of each kind.
        fit: How to train.
        data: Which digit pairs.
        out: Folder for logs, checkpoints and results.
        workers: Runs side by side.

    Raises:
        ValueError: if there is no weighting, an unknown one or one twice, no seed, or no worker.
        ResultsError: if the folder cannot be written.
    """

    weightings: tuple[str, ...] = ("uniform", "mgda")
    seeds: int = 2
    fit: FitSettings = field(default_factory=FitSettings)
    data: DigitPairs = field(default_factory=DigitPairs)
    out: Path = Path("runs/demo")
    workers: int = field(default_factory=cores)

    def __post_init__(self) -> None:
        if not self.weightings:
            raise ValueError("weightings is empty, expected at least one name such as 'mgda'")
        object.__setattr__(self, "weightings", tuple(written(name) for name in self.weightings))
        for name in self.weightings:
            FanOut(weighting_of(name), TASKS)  # refuses what makes no sense at feature level
            if self.weightings.count(name) > 1:
                raise ValueError(f"weighting {name!r} is given twice, expected each name once")
        for name in ("seeds", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("train_rows", "validation_rows", "test_rows"):
            if getattr(self.data, name) < 1:
                raise ValueError(f"{name} is {getattr(self.data, name)}, expected at least 1")
        check_writable(self.out)

    @property
    def runs(self) -> list[Run]:
        """The trainings, in order."""
        return plan(TASKS, self.weightings, self.seeds)

    def run(
        self,
        command: str,
        on_progress: Callable[[int, float], None],
        on_done: Callable[[int, Outcome], None],
    ) -> Results:
        """Trains everything and saves the results.

        Args:
            command: The command line that reproduces this study.
            on_progress: Called with a run's index in ``runs`` and the share of it that is done.
            on_done: Called with a run's index and its outcome.
        """
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        jobs = [
            Job(
                run,
                self.data,
                replace(self.fit, seed=run.seed, progress_bar=False),
                self.out / "runs" / run.id,
            )
            for run in self.runs
        ]
        start_over(self.out, [job.folder for job in jobs])
        outcomes = run_all(jobs, train, self.workers, on_progress, on_done)
        first_seed = [outcome for run, outcome in zip(self.runs, outcomes, strict=True) if run.seed == 0]
        results = Results(
            pd.concat([outcome.scores for outcome in outcomes], ignore_index=True),
            pd.concat([outcome.history for outcome in outcomes], ignore_index=True),
            pd.concat([outcome.examples for outcome in first_seed], ignore_index=True),
            self._about(command, started, time.perf_counter() - clock),
        )
        results.save(self.out)
        return results

    def _about(self, command: str, started: dt.datetime, seconds: float) -> dict[str, Any]:
        return {
            "title": "Two digits, one network",
            "question": (
                "Two tasks, reading the left and the right of two overlapping digits, are trained each alone, together "
                "with the plain sum of their losses, and together with balanced gradients."
            ),
            "data": describe(self.data),
            "settings": {
                "network": "LeNet, one head a task",
                "epochs": self.fit.epochs,
                "batch size": self.fit.batch_size,
                "optimizer": "Adam",
                "learning rate": LEARNING_RATE,
                "precision": self.fit.precision,
                "seeds": self.seeds,
                "tested": "checkpoint with the best mean validation accuracy",
                "runs side by side": self.workers,
            },
            **provenance(command, started, seconds),
        }
