"""One training of a recipe, or what an earlier one left."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoint.atomic import write_atomically, write_json
from counterpoint.data import Split
from counterpoint.study.network_job import one_thread
from counterpoint.study.runs.content import content_of, digest, versions
from counterpoint.training import fit
from counterpoint.training.predictions import predict_split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from counterpoint.study.recipes.methods import RecipeMethod
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.source import Source
    from counterpoint.training import FitResult, FitSettings, MultiTaskModule

# Another number where the same content would give other numbers.
_FORMAT = 2
_SHOWN = "outputs.npz"


@dataclass(frozen=True)
class RecipeJob:
    """A training with everything a process needs to do it.

    Attributes:
        source: Data and parts of a network.
        tasks: The tasks that share the network.
        method: How they are trained.
        seed: Seed of initialization and order of rows.
        fit: How to train; the seed is the job's.
        store: Where it goes.
        scales: What each loss is multiplied by, for loss scales.
        shown: Test rows whose outputs are kept, for pictures.
    """

    source: Source
    tasks: tuple[str, ...]
    method: RecipeMethod
    seed: int
    fit: FitSettings
    store: RunStore
    scales: tuple[tuple[str, float], ...] = ()
    shown: int = 0

    @cached_property
    def content(self) -> dict[str, Any]:
        """What identifies the training."""
        alone = len(self.tasks) == 1
        return {
            "format": _FORMAT,
            "versions": versions(),
            "source": self.source.content,
            # Where a task stands decides with which numbers its head begins.
            "tasks": {
                task: [self.source.tasks.index(task), self.source.task_identity.get(task)] for task in self.tasks
            },
            "seed": self.seed,
            "way": "alone" if alone else self.method.content,
            "scales": {} if alone else dict(self.scales),
            "fit": content_of(self.fit),
            "shown": self.shown,
        }

    @cached_property
    def run(self) -> str:
        """Identifies the training by its content."""
        return digest(self.content)

    @property
    def title(self) -> str:
        """Its name for people."""
        how = self.tasks[0] if len(self.tasks) == 1 else self.method.label
        if self.scales:
            some = ", ".join(f"{scale:g}" for _, scale in self.scales[:4])
            how = f"loss scales {some}{', ...' if len(self.scales) > 4 else ''}"
        return f"{how}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class RecipeRecord:
    """What a training left.

    Attributes:
        run: Its identity.
        rows: One row a task and metric: ``task``, ``metric``, ``direction``, ``main``, ``value`` (test),
            ``validation_value``, ``loss`` (test), ``unit``.
        history: One row an epoch and task: ``epoch``, ``task``, ``validation_loss``, ``validation_value``.
        seconds: Training and validation.
    """

    run: str
    rows: list[dict[str, Any]]
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def train_recipe_job(job: RecipeJob, on_epoch: Callable[[float], None]) -> RecipeRecord:
    """Trains and tests a network and stores what came out, unless that is done already.

    Args:
        job: What to do.
        on_epoch: Called with the share that is done.

    Raises:
        ArithmeticError: if a result is not a number: the training diverged.
    """
    with job.store.lock(job.run):
        return finished(job) or _train(job, on_epoch)


def finished(job: RecipeJob) -> RecipeRecord | None:
    """What a finished training left, ``None`` if it is to be done."""
    place = job.store.place(job.run)
    try:
        values = json.loads((place / "result.json").read_text(encoding="utf-8"))
        if values["run"] != job.run or (job.shown and not (place / _SHOWN).is_file()):
            return None
        return RecipeRecord(job.run, list(values["rows"]), list(values["history"]), float(values["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def outputs_of(job: RecipeJob) -> dict[str, np.ndarray]:
    """What the trained network says of the first test rows, by task."""
    with np.load(job.store.place(job.run) / _SHOWN) as arrays:
        return {name: arrays[f"task_{index}"] for index, name in enumerate(job.tasks)}


def _train(job: RecipeJob, on_epoch: Callable[[float], None]) -> RecipeRecord:
    place = job.store.place(job.run)
    settings = replace(job.fit, seed=job.seed, progress_bar=False, logs=False)
    # One thread, as beside other trainings: sums are rounded the same wherever the training runs.
    with one_thread() if not torch.cuda.is_available() else nullcontext():
        method = job.method
        module = job.source.build(
            job.tasks,
            method.weighting,
            job.seed,
            dict(job.scales),
            options=json.loads(method.options),
            heads=method.heads,
            level=method.level,
        )
        splits = job.source.splits(job.tasks)
        result = fit(module, splits, settings, place / "training", on_epoch, resume=True)
        if job.shown:
            rows = splits["test"].rows(slice(0, job.shown))[0]
            _keep(_outputs(module, rows), job, place)
    record = RecipeRecord(job.run, _rows(module, result), _history(result), result.seconds)
    write_json(place / "run.json", {**job.content, "title": job.title})
    write_json(
        place / "result.json",
        {"run": record.run, "rows": record.rows, "history": record.history, "seconds": record.seconds},
    )
    shutil.rmtree(place / "training", ignore_errors=True)
    return record


def _outputs(module: MultiTaskModule, inputs: torch.Tensor) -> dict[str, np.ndarray]:
    return {task: own.numpy() for task, own in predict_split(module, Split(inputs, {}), batch_size=8).items()}


def _keep(outputs: dict[str, np.ndarray], job: RecipeJob, place: Any) -> None:
    arrays: dict[str, Any] = {f"task_{index}": outputs[name].astype(np.float32) for index, name in enumerate(job.tasks)}

    def save(path: Any) -> None:
        with path.open("wb") as file:  # given a name, numpy adds an ending to it
            np.savez_compressed(file, **arrays)

    write_atomically(place / _SHOWN, save)


def _rows(module: MultiTaskModule, result: FitResult) -> list[dict[str, Any]]:
    rows = []
    for name, task in module.tasks.items():
        for split, results in (("test", result.test), ("validation", result.validation)):
            _check(name, task.metric_name, split, results)
        test, validation = result.test[name], result.validation[name]
        metrics = {task.metric_name: ("metric", task.direction)}
        metrics |= {
            own: (own, "maximize" if metric.higher_is_better else "minimize") for own, metric in task.others.items()
        }
        rows += [
            {
                "task": name,
                "metric": metric,
                "direction": direction,
                "main": key == "metric",
                "value": test[key],
                "validation_value": validation[key],
                "loss": test["loss"],
                "unit": task.unit,
            }
            for metric, (key, direction) in metrics.items()
        ]
    return rows


def _check(name: str, metric: str, split: str, results: Mapping[str, Mapping[str, float]]) -> None:
    """Epochs and loss scales are chosen by validation rows: what cannot be scored there is no result, either."""
    if name not in results:
        raise ArithmeticError(f"task {name!r} has no label in the {split} rows, expected some: it cannot be scored")
    own = results[name]
    if not math.isfinite(own["loss"]):
        raise ArithmeticError(f"task {name!r} ends with a loss of {own['loss']} on the {split} rows: it diverged")
    if not math.isfinite(own["metric"]):
        raise ArithmeticError(f"task {name!r} has {metric} {own['metric']} on the {split} rows, which cannot be scored")


def _history(result: FitResult) -> list[dict[str, Any]]:
    own = result.history
    own = own[own["split"] == "validation"]
    by_epoch: dict[tuple[int, str], dict[str, Any]] = {}
    for row in own.to_dict("records"):
        epoch, task = int(row["epoch"]), str(row["task"])
        kept = by_epoch.setdefault(
            (epoch, task), {"epoch": epoch, "task": task, "validation_loss": None, "validation_value": None}
        )
        if row["quantity"] in {"loss", "metric"}:
            kept["validation_loss" if row["quantity"] == "loss" else "validation_value"] = float(row["value"])
    return list(by_epoch.values())
