"""How to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["32", "bf16"]


@dataclass(frozen=True)
class FitSettings:
    """How to train.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows a step, of all processes together.
        seed: Chooses the order of the rows.
        precision: ``"32"``, or ``"bf16"`` for bf16 autocast with fp32 parameters.
        record_every: Steps between two rows of the history.
        progress_bar: Whether Lightning draws its progress bar.
        logs: Whether Lightning's loggers (CSV and TensorBoard) write; they take a share of a small network's step.
        patience: Epochs without a better validation score after which training ends; ``None`` for all epochs.
        devices: Processes on each machine, one a device; more than one need ``torchrun``, or another launcher.
        nodes: Machines.
        checkpoint_seconds: Least time from one checkpoint to resume from to the next; short trainings write none.

    Raises:
        ValueError: for a number below 1, negative seconds or an unknown precision.

    Example:
        >>> FitSettings(epochs=2).batch_size
        256
    """

    epochs: int = 6
    batch_size: int = 256
    seed: int = 0
    precision: Precision = "32"
    record_every: int = 5
    progress_bar: bool = True
    logs: bool = True
    patience: int | None = None
    devices: int = 1
    nodes: int = 1
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "record_every", "patience", "devices", "nodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        if self.precision not in {"32", "bf16"}:
            raise ValueError(f"precision is {self.precision!r}, expected '32' or 'bf16'")
        if not self.checkpoint_seconds >= 0:
            raise ValueError(f"checkpoint_seconds is {self.checkpoint_seconds}, expected 0 or more")
        if self.ranks > self.batch_size:
            raise ValueError(
                f"batch_size is {self.batch_size} for {self.ranks} processes, expected at least one row for each"
            )

    @property
    def ranks(self) -> int:
        """Processes that train together."""
        return self.devices * self.nodes
