"""One training of an explain study, with its trajectory recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from counterpoint.study.network_job import one_thread
from counterpoint.training import Curvature, Schedule, TrajectoryCallback, fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from counterpoint.data import Split
    from counterpoint.study.source import Source
    from counterpoint.training import FitSettings

# Curvature is dear: looked at when these shares of the steps are done.
CURVATURE_AT = (0.05, 0.2, 0.5, 1.0)
MINIBATCHES = 4


@dataclass(frozen=True)
class RecordingJob:
    """A training with everything a process needs for it.

    Attributes:
        source: The data and the parts of a network.
        method: Key of the way of sharing, or ``"single"``.
        tasks: The tasks that share the network.
        weighting: How they are balanced.
        seed: Seed of initialization and order of rows.
        fit: How to train; the seed is the job's.
        folder: Where logs and checkpoints go.
        curvature: How curvature is measured; ``None`` for not at all.
        rows: Training rows on which losses are looked at; test rows are looked at all.
        curvature_rows: Training rows whose losses' curvature is looked at.
    """

    source: Source
    method: str
    tasks: tuple[str, ...]
    weighting: str
    seed: int
    fit: FitSettings
    folder: Path
    curvature: Curvature | None
    rows: int
    curvature_rows: int

    @property
    def title(self) -> str:
        """The training's name for people."""
        who = self.tasks[0] if len(self.tasks) == 1 else self.method
        return f"{who}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Recording:
    """What a training left.

    Attributes:
        points: Rows of ``ExplainResults.points``.
        run: A row of ``ExplainResults.runs``.
        warnings: Looks that failed, in one line each.
    """

    points: list[dict[str, Any]]
    run: dict[str, Any]
    warnings: tuple[str, ...]


def record(job: RecordingJob, on_epoch: Callable[[float], None]) -> Recording:
    """Trains one network and records its trajectory.

    All looks are taken, whatever they cost: trajectories can be compared only where both were looked at.

    Args:
        job: What to do.
        on_epoch: Called with the share that is done.
    """
    module = job.source.build(job.tasks, job.weighting, job.seed)
    splits = job.source.splits(job.tasks)
    dear = curvature_steps(splits["train"], job.fit)
    callback = TrajectoryCallback(
        splits["train"].drawn(job.rows),
        splits["test"],
        rows=None,
        schedule=Schedule(steps=dear),  # curvature is read off at training losses, which have to be known there
        budget=None,
        curvature=job.curvature,
        curvature_schedule=Schedule(early=False, every_epochs=0, steps=dear),
        curvature_budget=None,
        curvature_rows=job.curvature_rows,
        minibatches=MINIBATCHES,
    )
    settings = replace(job.fit, seed=job.seed, progress_bar=False)
    with one_thread():
        fit(module, splits, settings, job.folder, on_epoch, callbacks=[callback])
    who = {"method": job.method, "seed": job.seed}
    points = [{**who, **{name: row[name] for name in ("task", "step", "quantity", "value")}} for row in callback.rows]
    run = {
        **who,
        "tasks": ",".join(job.tasks),
        "steps": max((row["step"] for row in callback.rows), default=0),
        "seconds": callback.training_seconds,
        "probe_seconds": callback.probes.spent + callback.gradient_probes.spent,
        "curvature_seconds": callback.curvature_probes.spent,
        "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
    }
    return Recording(points, run, callback.warnings)


def curvature_steps(train: Split, fit: FitSettings) -> tuple[int, ...]:
    """The steps at which curvature is looked at."""
    total = fit.epochs * math.ceil(len(train) / fit.batch_size)
    return tuple(sorted({max(1, round(share * total)) for share in CURVATURE_AT}))
