"""How long a training has taken and will take."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lightning

_REMEMBERED = 1_000  # batches


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        steps: Steps of its optimizers.
        steps_per_epoch: The same of an epoch; ``None`` if epochs have no known length.
        batches: Batches.
    """

    steps: int
    steps_per_epoch: int | None
    batches: int


class Clock:
    """Times a training by Lightning.

    Attributes:
        length: How long it will be; ``None`` where that is not known.
        running_before: Seconds of what was resumed.
    """

    def __init__(self) -> None:
        self.length: Length | None = None
        self.running_before = 0.0
        self._started: float | None = None
        self._batch_started = 0.0
        self._seconds: list[float] = []
        self._first_step = 0
        self._batches = 0

    def start(self, trainer: lightning.Trainer) -> None:
        """The training starts, or goes on."""
        self._first_step, self._batches = trainer.global_step, 0
        self.length = _length(trainer, Fraction(1, max(1, trainer.accumulate_grad_batches)))
        self._started = time.perf_counter()

    def stop(self) -> None:
        """It is over."""
        self.running_before, self._started = self.running, None

    def batch_starts(self) -> None:
        """A batch is about to be trained on."""
        self._batch_started = time.perf_counter()

    def batch_ends(self, trainer: lightning.Trainer) -> None:
        """It is done. With manual optimization it shows how many steps a batch takes."""
        self._seconds.append(time.perf_counter() - self._batch_started)
        del self._seconds[:-_REMEMBERED]
        self._batches += 1
        steps = trainer.global_step - self._first_step
        if steps > 0 and not trainer.lightning_module.automatic_optimization:
            self.length = _length(trainer, Fraction(steps, self._batches))

    @property
    def running(self) -> float:
        """Seconds since the start, with looks."""
        return self.running_before + (0.0 if self._started is None else time.perf_counter() - self._started)

    @property
    def projected(self) -> float:
        """Seconds that all batches take, 0 where that is not known: the first ones warm up, so the median counts."""
        return median(self._seconds) * self.length.batches if self._seconds and self.length is not None else 0.0


def _length(trainer: lightning.Trainer, steps_a_batch: Fraction) -> Length | None:
    epochs, most, batches = trainer.max_epochs, trainer.max_steps, trainer.num_training_batches
    per_epoch = math.ceil(batches * steps_a_batch) if math.isfinite(batches) else None
    known = per_epoch is not None and epochs is not None and epochs >= 0
    steps = epochs * per_epoch if known else -1  # type: ignore[operator]
    if most >= 0:
        steps = min(steps, most) if known else most
    if steps < 0:
        return None
    whole = epochs * batches if known else math.inf  # type: ignore[operator]
    return Length(steps, per_epoch, int(min(whole, math.ceil(steps / steps_a_batch))))
