"""What a study is to compare. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from counterpoint.study.weighting_choice import written


@dataclass(frozen=True)
class MeterSettings:
    """How affinities are measured in the joint training.

    Attributes:
        method: See :class:`~counterpoint.AffinityMeter`; ``"last-layer"`` is ``"first-order"`` at the last shared
            layer.
        every: Steps from one measurement to the next.
    """

    method: Literal["first-order", "last-layer", "lookahead", "features"] = "first-order"
    every: int = 10


@dataclass(frozen=True)
class Comparison:
    """What is to be compared with each task alone and with all tasks together.

    Attributes:
        networks: The most networks to serve, ``None`` for no limit.
        weightings: The weightings to try besides the plain sum of the losses, such as ``"cagrad(c=0.4)"``.
        seeds: Trainings of each network.
        scale_trials: Vectors of loss scales to try.
        minutes: The time to stay within, ``None`` for as long as it takes.
        meter: How affinities are measured in the joint training.

    Raises:
        ValueError: for numbers that make no sense.

    Example:
        >>> Comparison(networks=2).seeds
        3
    """

    networks: int | None = None
    weightings: tuple[str, ...] = ("mgda", "dibs")
    seeds: int = 3
    scale_trials: int = 4
    minutes: float | None = None
    meter: MeterSettings = field(default_factory=MeterSettings)

    def __post_init__(self) -> None:
        for name, least in (("seeds", 1), ("scale_trials", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.networks is not None and self.networks < 1:
            raise ValueError(f"networks is {self.networks}, expected at least 1")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ValueError(f"minutes is {self.minutes:g}, expected a positive number, or none for no limit")
        object.__setattr__(self, "weightings", tuple(written(name) for name in self.weightings))
        for name in self.weightings:
            if self.weightings.count(name) > 1:
                raise ValueError(f"weighting {name!r} is given twice, expected each name once")

    @property
    def budget(self) -> float | None:
        """Seconds to stay within."""
        return None if self.minutes is None else 60 * self.minutes


@dataclass(frozen=True)
class Forecast:
    """What a study is about to do.

    Attributes:
        runs: Trainings, at most; those that are found finished included.
        reused: Trainings that are finished already.
        seconds: About how long the rest takes.
        budget: Seconds allowed, ``None`` for as long as it takes.
        workers: Trainings side by side.
    """

    runs: int
    reused: int
    seconds: float
    budget: float | None
    workers: int
