"""The explain study: train each task alone and all together, record the trajectories, compare."""

from __future__ import annotations

import datetime as dt
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.balancing import FanOut
from counterpoint.study.execution import cores, run_all
from counterpoint.study.explain.findings import UNIFORM
from counterpoint.study.explain.recording import MINIBATCHES, RecordingJob, record
from counterpoint.study.explain.results import POINTS, RUNS, ExplainResults
from counterpoint.study.provenance import provenance
from counterpoint.study.results_folder import check_writable, start_over
from counterpoint.study.summary import BASELINE
from counterpoint.study.weighting_choice import weighting_of, written
from counterpoint.training import Curvature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.study.explain.recording import Recording
    from counterpoint.study.source import Source
    from counterpoint.study.watcher import Watcher
    from counterpoint.training import FitSettings

LABELS = {BASELINE: "Each task alone", UNIFORM: "Uniform", "mgda": "MGDA-UB", "dibs": "DiBS-MTL", "nash": "Nash-MTL"}


def weighting_key(name: str) -> str:
    """One key for all the ways in which a weighting's name may be written.

    Example:
        >>> weighting_key("IMTL-G"), weighting_key("Uniform")
        ('imtlg', 'uniform')
    """
    own, bracket, options = written(name).partition("(")
    return re.sub(r"[-_\s]", "", own) + bracket + options


@dataclass(frozen=True)
class ExplainStudy:
    """Whether sharing helped, when it turned, and what went along with it, on one data source.

    Attributes:
        source: Data and networks.
        weightings: How tasks that share the network are balanced, besides uniformly.
        seeds: Trainings of each network, at least 2: intervals are over seeds.
        fit: How to train; the source's way if ``None``.
        curvature: How curvature is measured; ``None`` for not at all.
        rows: Training rows on which losses are looked at; test rows are looked at all.
        curvature_rows: Training rows whose losses' curvature is looked at.
        out: Folder for logs, checkpoints and results.
        workers: Trainings side by side.

    Raises:
        ValueError: for what cannot be studied.
        ResultsError: if the folder cannot be written.
    """

    source: Source
    weightings: tuple[str, ...] = ("mgda",)
    seeds: int = 3
    fit: FitSettings | None = None
    curvature: Curvature | None = field(default_factory=Curvature)
    rows: int = 1_024
    curvature_rows: int = 48
    out: Path = Path("runs/explain")
    workers: int = field(default_factory=cores)

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ValueError(f"seeds is {self.seeds}, expected at least 2: intervals are over seeds")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}, expected at least 1")
        if len(self.source.tasks) < 2:
            raise ValueError(f"{self.source.name} has one task, expected at least 2: nothing could be shared")
        for name, rows in (("rows", self.rows), ("curvature_rows", self.curvature_rows)):
            if rows < MINIBATCHES:
                raise ValueError(f"{name} is {rows}, expected at least {MINIBATCHES}")
        keys = [weighting_key(name) for name in self.weightings]
        for name, key in zip(self.weightings, keys, strict=True):
            if key == BASELINE:
                raise ValueError(f"{name!r} is no weighting: each task alone is always trained")
            FanOut(weighting_of(name), self.source.tasks)  # refuses what makes no sense at feature level
            if keys.count(key) > 1:
                raise ValueError(f"weighting {key!r} is given twice, expected each name once")
        check_writable(self.out)

    @property
    def settings(self) -> FitSettings:
        """How networks are trained."""
        return self.fit or self.source.fit

    @property
    def methods(self) -> tuple[str, ...]:
        """The ways of sharing, the plain sum first."""
        return (UNIFORM, *(key for name in self.weightings if (key := weighting_key(name)) != UNIFORM))

    @property
    def jobs(self) -> list[RecordingJob]:
        """All trainings, the longest first, so that no worker is left with one at the end."""
        tasks, seeds = self.source.tasks, range(self.seeds)
        shared = [self._job(name, tasks, seed) for name in self.methods for seed in seeds]
        return shared + [self._job(BASELINE, (task,), seed) for task in tasks for seed in seeds]

    def _job(self, method: str, tasks: tuple[str, ...], seed: int) -> RecordingJob:
        name = method if method != BASELINE else f"single-{self.source.tasks.index(tasks[0])}"
        return RecordingJob(
            source=self.source,
            method=method,
            tasks=tasks,
            weighting=UNIFORM if method == BASELINE else method,
            seed=seed,
            fit=self.settings,
            folder=self.out / "runs" / f"explain-{name}-seed{seed}",
            curvature=self.curvature,
            rows=self.rows,
            curvature_rows=self.curvature_rows,
        )

    def run(self, command: str, watcher: Watcher) -> ExplainResults:
        """Trains everything and saves the results.

        Args:
            command: The command line that reproduces this study.
            watcher: Is told how things are going.
        """
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        start_over(self.out, (self.out / "runs").glob("explain-*-seed*"))
        jobs = self.jobs
        watcher.stage("Each task alone, and all together", [job.title for job in jobs])
        recordings = run_all(
            jobs,
            record,
            self.workers,
            watcher.progress,
            lambda index, recording: watcher.done(index, recording.run["seconds"]),
        )
        points = [row for recording in recordings for row in recording.points]
        results = ExplainResults(
            pd.DataFrame(points, columns=list(POINTS)),
            pd.DataFrame([recording.run for recording in recordings], columns=list(RUNS)),
            self._about(recordings, command, started, time.perf_counter() - clock),
        )
        results.save(self.out)
        return results

    def _about(
        self, recordings: Sequence[Recording], command: str, started: dt.datetime, seconds: float
    ) -> dict[str, Any]:
        tasks = [self.source.task(name) for name in self.source.tasks]
        curvature = self.curvature
        names = {weighting_key(name): name for name in self.weightings}
        return {
            "title": "Did sharing help, and what went along with it?",
            "question": (
                f"{len(tasks)} tasks, each trained alone and all together. Both trainings are compared at the same "
                "training loss (did what was learned generalize better?) and at the same step (was it learned more "
                "slowly?), and with what is thought to explain it."
            ),
            "methods": {key: LABELS.get(key, names.get(key, key)) for key in (BASELINE, *self.methods)},
            "tasks": {task.name: {"metric": task.metric_name, "direction": task.direction} for task in tasks},
            "warnings": sorted({line for recording in recordings for line in recording.warnings}),
            "data": self.source.about(),
            "settings": {
                "network": self.source.network,
                "epochs": self.settings.epochs,
                "batch size": self.settings.batch_size,
                "optimizer": "Adam",
                "learning rate": self.source.lr,
                "seeds": self.seeds,
                "losses looked at on": f"{self.rows} training rows, all test rows",
                "gradients looked at on": f"64 training rows in {MINIBATCHES} minibatches",
                "curvature": (
                    "not looked at"
                    if curvature is None
                    else f"{self.curvature_rows} training rows, {curvature.products} products for the largest "
                    f"eigenvalue, {curvature.draws} draws a trace"
                ),
                "runs side by side": self.workers,
            },
            **provenance(command, started, seconds),
        }
