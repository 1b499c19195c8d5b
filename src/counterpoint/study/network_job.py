"""One network of a grouping study: train it, test it, and measure affinities on the way where wanted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from counterpoint.affinity import AffinityMeter, last_layers
from counterpoint.study.group_results import run_id
from counterpoint.training import AffinityCallback, MultiTaskModule, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lightning import LightningModule
    from torch import Tensor

    from counterpoint.affinity import Affinity
    from counterpoint.study.comparison import MeterSettings
    from counterpoint.study.source import Source
    from counterpoint.training import FitSettings


@dataclass(frozen=True)
class NetworkJob:
    """A set of tasks with everything a process needs to train a network for them.

    Attributes:
        source: The data and the parts of a network.
        tasks: The tasks that share the network.
        seed: Seed of initialization and order of rows.
        fit: How to train; the seed is the job's.
        folder: Where logs and checkpoints go.
        weighting: How the tasks are balanced.
        meter: How to measure affinities, or ``None``.
    """

    source: Source
    tasks: tuple[str, ...]
    seed: int
    fit: FitSettings
    folder: Path
    weighting: str = "uniform"
    meter: MeterSettings | None = None

    @property
    def run(self) -> str:
        """Names the training."""
        return run_id(self.tasks, self.seed)

    @property
    def title(self) -> str:
        """The training's name for people."""
        names = ", ".join(self.tasks) if len(self.tasks) < 4 else f"{len(self.tasks)} tasks"
        return f"{names}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """What a training left.

    Attributes:
        rows: One row a task, with the columns of ``GroupResults.networks``.
        affinity: What the meter measured, if there was one.
        cosines: Mean cosines between task gradients, if there was a meter.
    """

    rows: list[dict[str, Any]]
    affinity: Affinity | None = None
    cosines: Affinity | None = None

    @property
    def seconds(self) -> float:
        """Time of training and validation."""
        return float(self.rows[0]["seconds"])


def train_network(job: NetworkJob, on_epoch: Callable[[float], None]) -> TrainedNetwork:
    """Trains and tests one network.

    Args:
        job: What to do.
        on_epoch: Called with the share that is done.
    """
    module = job.source.build(job.tasks, job.weighting, job.seed)
    settings = replace(job.fit, seed=job.seed, progress_bar=False)
    callbacks = [affinity_callback(job.tasks, job.meter)] if job.meter is not None else []
    with one_thread():
        result = fit(module, job.source.splits(job.tasks), settings, job.folder, on_epoch, callbacks=callbacks)
    parameters = sum(parameter.numel() for parameter in module.model.parameters())
    rows = [
        {
            "run": job.run,
            "seed": job.seed,
            "task": name,
            "metric": task.metric_name,
            "direction": task.direction,
            "value": result.test[name]["metric"],
            "loss": result.test[name]["loss"],
            "validation_value": result.validation[name]["metric"],
            "validation_loss": result.validation[name]["loss"],
            "seconds": result.seconds,
            "parameters": parameters,
        }
        for name, task in module.tasks.items()
    ]
    if not callbacks:
        return TrainedNetwork(rows)
    meter = callbacks[0].meter
    return TrainedNetwork(rows, meter.compute(), meter.cosines())


def affinity_callback(tasks: Sequence[str], settings: MeterSettings) -> AffinityCallback:
    """A fresh meter for a training of these tasks.

    Raises:
        ValueError: for settings that make no sense.
    """
    if settings.method == "last-layer":
        return AffinityCallback(
            AffinityMeter(tasks, "first-order", every=settings.every, per_lr=True), shared=_last_layer
        )
    return AffinityCallback(AffinityMeter(tasks, settings.method, every=settings.every, per_lr=True))


@contextmanager
def one_thread() -> Iterator[None]:
    """As in every worker process: another number of threads would round sums in another way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _last_layer(module: LightningModule) -> list[Tensor]:
    assert isinstance(module, MultiTaskModule)  # noqa: S101  (built by the source)
    return last_layers(module.model.encoder)
