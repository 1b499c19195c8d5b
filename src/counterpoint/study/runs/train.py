"""Does a run, or finds it done."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch.distributed as dist
from safetensors.torch import save_file

from counterpoint.models import cost_of
from counterpoint.study.network_job import affinity_callback, one_thread
from counterpoint.study.runs.predictions import predictions_of
from counterpoint.study.runs.store import RunRecord
from counterpoint.study.study_results import RUN_HISTORY
from counterpoint.training import CrossFit, fit
from counterpoint.training.counting import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    from torch import Tensor

    from counterpoint.data import Split
    from counterpoint.study.runs.job import RunJob
    from counterpoint.training import MultiTaskModule
    from counterpoint.training.counting import Results


def train_run(job: RunJob, on_epoch: Callable[[float], None]) -> RunRecord:
    """Trains a network, tests it and stores everything, unless that is done already.

    Two processes that come for the same run do it once: the second waits and takes what the first left.

    Args:
        job: What to do.
        on_epoch: Called with the share that is done.

    Raises:
        ArithmeticError: if a result is not a number.
    """
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    # Of ranks that train together the first one writes; they have to agree on whether there is anything to do.
    with job.store.lock(job.run) if rank == 0 else nullcontext():
        found = [job.store.finished(job.run) if rank == 0 else None]
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.broadcast_object_list(found, src=0)
        return _train(job, on_epoch, writes=rank == 0) if found[0] is None else found[0]


def _train(job: RunJob, on_epoch: Callable[[float], None], *, writes: bool) -> RunRecord:
    splits = job.source.splits(job.tasks)
    settings = replace(job.fit, seed=job.seed, progress_bar=False, logs=False)
    meters = [affinity_callback(job.tasks, job.meter)] if job.meter is not None and len(job.tasks) > 1 else []
    cross = CrossFit()
    with one_thread():
        module = job.source.build(job.tasks, job.weighting, job.seed, dict(job.scales))
        cost = cost_of(module.model, splits["train"].rows(slice(0, 1))[0])
        place = job.store.place(job.run)
        result = fit(module, splits, settings, place / "training", on_epoch, callbacks=[*meters, cross], resume=True)
        validated = _validated(module, splits["validation"], cross.outputs())
        predictions = predictions_of(module, splits, job.source, cross.outputs())
    rows = [
        {
            "run": job.run,
            "seed": job.seed,
            "task": name,
            "metric": task.metric_name,
            "direction": task.direction,
            "unit": task.unit,
            "validation_value": _finite(validated[name]["metric"], name, "validation"),
            "validation_loss": validated[name]["loss"],
            "test_value": _finite(result.test[name]["metric"], name, "test"),
            "test_loss": result.test[name]["loss"],
            "seconds": result.seconds,
            "parameters": cost.parameters,
            "multiply_adds": cost.multiply_adds,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
        }
        for name, task in module.tasks.items()
    ]
    affinity = meters[0].meter.compute() if meters else None
    record = RunRecord(job.run, rows, result.seconds, affinity)
    if not writes:
        return record
    history = result.history.assign(run=job.run).reindex(columns=RUN_HISTORY)
    tables: dict[str, pd.DataFrame] = {"history": history, "predictions": predictions}
    job.store.save(record, {**job.content, "title": job.title}, tables, lambda path: _write_weights(module, path))
    return record


def _validated(module: MultiTaskModule, split: Split, outputs: Mapping[str, Tensor]) -> Results:
    """Loss and metric on validation rows, each judged at the epoch that the other half of them chose."""
    counts = Counts(module.tasks.values(), alone=True)
    counts.start()
    for name, task in module.tasks.items():
        targets = split.targets[name]
        labelled = task.labelled(targets)
        own = targets if labelled is None else targets[labelled]
        counts.add(outputs, {name: own}, {name: task.loss(outputs[name], own)})
    return counts.results()


def _finite(value: float, task: str, split: str) -> float:
    if not math.isfinite(value):
        raise ArithmeticError(
            f"task {task!r} scores {value} on {split} rows: the training diverged, or these rows cannot be scored; "
            "try a lower learning rate, or more rows"
        )
    return value


def _write_weights(module: MultiTaskModule, path: Path) -> None:
    state = module.model.served_state()
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in state.items()}, path)
