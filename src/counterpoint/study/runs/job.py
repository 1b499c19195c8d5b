"""One run of a study with everything a process needs to do it, here or on another machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from counterpoint.study.runs.content import content_of, digest, versions

if TYPE_CHECKING:
    from counterpoint.study.comparison import MeterSettings
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.source import Source
    from counterpoint.training import FitSettings

# Another number where the same content would give other numbers or files.
_FORMAT = 2


@dataclass(frozen=True)
class RunJob:
    """A set of tasks with the way to train a network for them.

    Attributes:
        source: The data and the parts of a network.
        tasks: The tasks that share the network, in the order of the source's tasks.
        seed: Seed of initialization and order of rows.
        fit: How to train; the seed is the job's.
        store: Where the run goes.
        weighting: How the tasks are balanced.
        scales: What each task's loss is multiplied by instead, or nothing.
        meter: How to measure affinities, or ``None``.
    """

    source: Source
    tasks: tuple[str, ...]
    seed: int
    fit: FitSettings
    store: RunStore
    weighting: str = "uniform"
    scales: tuple[tuple[str, float], ...] = ()
    meter: MeterSettings | None = None

    @cached_property
    def content(self) -> dict[str, Any]:
        """What identifies the run."""
        return {
            "format": _FORMAT,
            "versions": versions(),
            "source": self.source.content,
            "tasks": list(self.tasks),
            "seed": self.seed,
            # A task alone is trained the same, whatever it would be balanced by.
            "weighting": self.weighting if len(self.tasks) > 1 else "uniform",
            "scales": dict(self.scales) if len(self.tasks) > 1 else {},
            "fit": content_of(self.fit),
            "meter": asdict(self.meter) if self.meter is not None else None,
        }

    @cached_property
    def run(self) -> str:
        """Identifies the run by its content."""
        return digest(self.content)

    @property
    def title(self) -> str:
        """The run's name for people."""
        names = ", ".join(self.tasks) if len(self.tasks) < 4 else f"{len(self.tasks)} tasks"
        how = "loss scales " + ", ".join(f"{scale:g}" for _, scale in self.scales) if self.scales else self.weighting
        return f"{names}{f', {how}' if len(self.tasks) > 1 else ''}, seed {self.seed}"
