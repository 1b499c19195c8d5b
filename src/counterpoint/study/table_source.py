"""A prepared table as a source of a study: tasks from its targets, a network for its columns."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.models import start_at
from counterpoint.study.source import Source, Unit
from counterpoint.tasks import Task
from counterpoint.training import FitSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from counterpoint.data.tables import PreparedTable, TableSchema, Target
    from counterpoint.models import TableNetwork

# Small tables get small batches, and epochs enough for some thousand steps; the best epoch is kept.
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 3_000, 10, 60


@dataclass(frozen=True)
class _Parts:
    """Makes what a network for a table consists of; can be pickled."""

    network: TableNetwork
    targets: tuple[Target, ...]
    starts: Mapping[str, float]

    def target(self, name: str) -> Target:
        return next(target for target in self.targets if target.name == name)

    def encoder(self, tasks: Sequence[str]) -> torch.nn.Module:
        return self.network.encoder(tasks)

    def head(self, task: str) -> torch.nn.Module:
        head = self.network.head(task, self.target(task).outputs)
        # A head of counts that starts at the mean is spared the long way there, and so is whoever shares with it.
        if task in self.starts:
            start_at(head, self.starts[task])
        return head

    def task(self, name: str) -> Task:
        return task_of(self.target(name))


def task_of(target: Target) -> Task:
    """The task of predicting a column.

    Example:
        >>> from counterpoint.data.tables import Target
        >>> task_of(Target("price", "regression", mean=3.0, scale=2.0, baseline=2.0)).metric_name
        'RMSE'
    """
    if target.kind == "binary":
        return Task.binary(target.name, partial=target.partial)
    if target.kind == "multiclass":
        return Task.classification(target.name, len(target.classes), partial=target.partial)
    if target.kind == "count":
        # Counts in the thousands have deviances in the thousands: beside them no other loss would be heard.
        spread = max(1.0, target.baseline)
        return Task.count(target.name, unit=target.baseline, dispersion=spread, partial=target.partial)
    name = "RMSE" if target.transform == "none" else f"RMSE of {target.transform}"
    return Task.regression(
        target.name, scale=target.scale, metric_name=name, unit=target.baseline, partial=target.partial
    )


def units_of(targets: Sequence[Target]) -> dict[str, Unit]:
    """How the networks' numbers become what the metrics compare."""
    return {
        target.name: Unit(target.mean, target.scale) if target.kind == "regression" else Unit(logarithmic=True)
        for target in targets
        if target.kind in {"regression", "count"}
    }


def table_fit(rows: int, epochs: int | None = None, batch_size: int | None = None) -> FitSettings:
    """How to train on so many training rows, where nobody said.

    Example:
        >>> table_fit(1_000), table_fit(40_000).batch_size
        (FitSettings(epochs=60, batch_size=64...), 512)
    """
    size = batch_size or (512 if rows >= 20_000 else 128 if rows >= 5_000 else 64)
    steps = max(1, -(-rows // size))
    return FitSettings(
        epochs=epochs or min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_STEPS / steps))),
        batch_size=size,
        record_every=max(1, steps // 4),
        patience=None if epochs else 8,
    )


def table_source(
    name: str, prepared: PreparedTable, network: TableNetwork, fit: FitSettings, lr: float = 1e-3
) -> Source:
    """The source of a prepared table.

    Args:
        name: What people call the table.
        prepared: The table.
        network: What to train.
        fit: How to train.
        lr: Learning rate of Adam.
    """
    schema = prepared.schema
    train = prepared.splits()["train"].targets
    counts = [target.name for target in schema.targets if target.kind == "count"]
    starts = {name: math.log(float(train[name].nanmean())) for name in counts}
    parts = _Parts(network, tuple(schema.targets), starts)
    return Source(
        name=name,
        description=_description(schema),
        tasks=tuple(target.name for target in schema.targets),
        data=prepared,
        task=parts.task,
        encoder=parts.encoder,
        head=parts.head,
        fit=fit,
        lr=lr,
        network=network.describe(),
        identity=("table", prepared.digest, json.dumps(network.to_json(), sort_keys=True)),
        units=units_of(schema.targets),
    )


def _description(schema: TableSchema) -> str:
    rows, columns = sum(schema.rows.values()), len(schema.columns)
    return f"{rows:,} rows, {columns} feature columns, {len(schema.targets)} targets."
