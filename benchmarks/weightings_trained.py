"""What each weighting reaches: networks trained on three sorts of tasks, as they are and with one loss times 1,000.

Everything but the weighting is the same: data, starting weights and order of rows of a seed, Adam with one learning
rate that was tuned for none of them, and the choice of the best epoch on validation rows.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import torch

from counterpoint import __version__
from counterpoint.atomic import write_atomically
from counterpoint.estimate import Estimate
from counterpoint.study.execution import LocalExecutor
from counterpoint.study.execution.jobs import Failure
from counterpoint.study.network_job import one_thread
from counterpoint.study.runs.content import digest
from counterpoint.study.source import SOURCES
from counterpoint.study.study import Study
from counterpoint.study.summary import BASELINE, delta_m
from counterpoint.training import fit
from study_tables import diamonds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint import Task
    from counterpoint.study.source import Source
    from counterpoint.training import FitSettings

FACTOR = 1_000.0
PLAIN, LOUD = "plain", "first loss x 1,000"


@dataclass(frozen=True)
class Way:
    """What `get_weighting` is asked for, and whether heads get weighted gradients, too."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    heads: Literal["own", "weighted"] = "own"


# Which are left out and why: docs/choosing-a-weighting.md.
WEIGHTINGS = {
    "Uniform": Way("uniform"),
    "MGDA": Way("mgda"),
    "MGDA, l2": Way("mgda", {"normalize": "l2"}),
    "DiBS": Way("dibs"),
    "DiBS, weighted heads": Way("dibs", heads="weighted"),
    "Nash": Way("nash"),
    "FairGrad": Way("fairgrad"),
    "GradNorm": Way("gradnorm"),
    "UPGrad": Way("upgrad"),
    "DualProj": Way("dualproj"),
    "CAGrad": Way("cagrad", {"c": 0.4}),
    "PCGrad": Way("pcgrad"),
    "IMTL-G": Way("imtlg"),
    "Aligned-MTL": Way("alignedmtl"),
    "ConFIG": Way("config"),
    "UW": Way("uw"),
    "DWA": Way("dwa"),
    "FAMO": Way("famo"),
    "Random": Way("random"),
}


@dataclass(frozen=True)
class Louder:
    """Makes tasks; one of them has its loss multiplied. Can be pickled."""

    make: Callable[[str], Task]
    loud: str

    def __call__(self, name: str) -> Task:
        """A fresh task."""
        task = self.make(name)
        return task.rescaled(FACTOR) if name == self.loud else task


@dataclass(frozen=True)
class Job:
    """One training; what it found is kept in a file named after everything it depends on."""

    problem: str
    source: Source
    tasks: tuple[str, ...]
    method: str
    losses: str
    seed: int
    folder: Path

    @property
    def way(self) -> Way:
        """How its tasks are balanced; one task is trained the same, whatever it would be balanced by."""
        return WEIGHTINGS.get(self.method, WEIGHTINGS["Uniform"])

    @property
    def fit(self) -> FitSettings:
        """How it is trained."""
        return replace(self.source.fit, seed=self.seed, progress_bar=False, logs=False)

    @property
    def kept(self) -> Path:
        """Where what it found is kept."""
        versions = [__version__, torch.__version__]
        about = [versions, self.source.content, self.tasks, asdict(self.way), self.losses, asdict(self.fit)]
        return self.folder / "trained" / f"{digest(about)}.json"


def problems(folder: Path, *, quick: bool) -> dict[str, Source]:
    """The three sorts of tasks. Two digits that cover each other; 14 questions to a gene; losses of unequal kind."""
    epochs = 1 if quick else None
    digits = replace(SOURCES["digits"], tasks=("left", "right"))
    rows = diamonds().sample(n=1_500 if quick else 12_000, random_state=0)
    table = Study(
        rows,
        ("price:regression:log", "cut", "clarity"),
        epochs=epochs or 16,
        batch_size=256,
        lr=3e-3,
        out=folder / "diamonds",
    )
    sources = {"digit pairs": digits, "yeast": SOURCES["yeast"], "diamonds": table.subject().source}
    return {
        name: replace(source, fit=replace(source.fit, epochs=epochs or source.fit.epochs, record_every=10_000))
        for name, source in sources.items()
    }


def run(options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row for each problem, weighting and way to write the losses; and how everything was trained."""
    methods = options.methods or list(WEIGHTINGS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        (folder / "trained").mkdir(parents=True, exist_ok=True)
        sources = problems(folder, quick=options.quick)
        trained = [
            job
            for seed in range(options.seeds)
            for name, source in sources.items()
            for job in _jobs(name, source, methods, seed, folder)
        ]
        started = time.perf_counter()

        def say(index: int, _: Any) -> None:
            if (index + 1) % 50 == 0 or options.quick:
                print(f"training {index + 1} of {len(trained)}, {time.perf_counter() - started:.0f} s", flush=True)

        with LocalExecutor(options.workers) as executor:
            outcomes = executor.run(trained, train, lambda *_: None, say)
        settings = {name: _described(source) for name, source in sources.items()}
    rows = []
    for name, source in sources.items():
        own = [(job, outcome) for job, outcome in zip(trained, outcomes, strict=True) if job.problem == name]
        rows += _rows(name, source.tasks, own)
    return rows, {"trainings": len(trained), "seconds": time.perf_counter() - started, "problems": settings}


def _jobs(name: str, source: Source, methods: Sequence[str], seed: int, folder: Path) -> list[Job]:
    loud = replace(source, task=Louder(source.task, source.tasks[0]))
    return [
        *(Job(name, source, (task,), BASELINE, PLAIN, seed, folder) for task in source.tasks),
        *(Job(name, source, source.tasks, method, PLAIN, seed, folder) for method in methods),
        *(Job(name, loud, source.tasks, method, LOUD, seed, folder) for method in methods),
    ]


def train(job: Job, on_epoch: Callable[[float], None]) -> list[dict[str, Any]]:
    """Trains and tests one network, unless that is done: a row for each task."""
    if job.kept.exists():
        kept: list[dict[str, Any]] = json.loads(job.kept.read_text(encoding="utf-8"))
        return kept
    with one_thread(), tempfile.TemporaryDirectory() as place:
        module = job.source.build(job.tasks, job.way.name, job.seed, options=job.way.options, heads=job.way.heads)
        result = fit(module, job.source.splits(job.tasks), job.fit, place, on_epoch)
    rows = []
    for task in job.tasks:
        value, own = result.test[task]["metric"], module.tasks[task]
        if not math.isfinite(value):
            raise ArithmeticError(f"task {task!r} scores {value} on test rows: the training diverged")
        rows.append({"task": task, "metric": own.metric_name, "direction": own.direction, "value": value})
    write_atomically(job.kept, lambda path: path.write_text(json.dumps(rows), encoding="utf-8"))
    return rows


def _rows(
    problem: str, tasks: Sequence[str], own: Sequence[tuple[Job, list[dict[str, Any]] | Failure]]
) -> list[dict[str, Any]]:
    failed = [(job, found) for job, found in own if isinstance(found, Failure)]
    scores = pd.DataFrame(
        {"method": job.method if job.losses == PLAIN else f"{job.method} {LOUD}", "seed": job.seed, **row}
        for job, found in own
        if not isinstance(found, Failure)
        for row in found
    )
    rows = []
    for method, losses in dict.fromkeys((job.method, job.losses) for job, _ in own):
        key = method if losses == PLAIN else f"{method} {LOUD}"
        mine = scores[scores["method"] == key]
        metrics = {
            task: {"metric": part["metric"].iloc[0], **estimate(part["value"])}
            for task, part in mine.groupby("task", sort=False)
        }
        rows.append(
            {
                "part": "trained",
                "problem": problem,
                "method": method,
                "losses": losses,
                "tasks": {task: metrics[task] for task in tasks if task in metrics},
                "change over each task alone, percent": None if method == BASELINE else _change(scores, key, BASELINE),
                "change over Uniform, percent": None
                if method in {BASELINE, "Uniform"} or losses == LOUD
                else _change(scores, key, "Uniform"),
                "change over plain losses, percent": _change(scores, key, method) if losses == LOUD else None,
                "failed": [
                    f"seed {job.seed}: {found.error}"
                    for job, found in failed
                    if (job.method, job.losses) == (method, losses)
                ],
            }
        )
    return rows


def _change(scores: pd.DataFrame, method: str, against: str) -> dict[str, Any] | None:
    """Mean relative change of the metrics, percent, paired by seed; positive is better."""
    changes = [value for value in delta_m(scores, method, against).values() if math.isfinite(value)]
    return estimate(changes) if changes else None


def estimate(values: Any) -> dict[str, Any]:
    """Mean and 95 % interval over seeds."""
    found = Estimate.of(list(values))
    return {"mean": found.mean, "low": found.low, "high": found.high, "seeds": found.seeds}


def _described(source: Source) -> dict[str, Any]:
    fitted = source.fit
    return {
        "tasks": list(source.tasks),
        "louder": source.tasks[0],
        "rows": source.about()["rows"],
        "network": source.network,
        "epochs": fitted.epochs,
        "batch": fitted.batch_size,
        "optimizer": f"Adam, learning rate {source.lr:g}",
    }
