"""Balancing at the shared parameters in a training by Lightning."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from counterpoint.balancing import Weighting, backward
from counterpoint.balancing.backward import _reuses
from counterpoint.balancing.weigh import accept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import lightning
    from torch import Tensor

    from counterpoint.balancing import FanOut

Level = Literal["features", "parameters"]


class ParameterLevel:
    """:func:`backward` with a FanOut's weighting and options, whose :class:`StepRecord` the FanOut keeps.

    Args:
        fan: The FanOut.

    Raises:
        ValueError: if its weighting or its options make no sense at the shared parameters.
    """

    def __init__(self, fan: FanOut) -> None:
        if (kind := fan._reduction.kind) is not None:  # noqa: SLF001
            raise ValueError(f"reduce={kind!r} with level='parameters', expected reduce=None: it is for features")
        accept(fan.weighting, "parameters", heads=fan.heads, every=fan._reuse.every, ranks=fan.ranks)  # noqa: SLF001
        self._fan = fan

    def check(self, trainer: lightning.Trainer) -> None:
        """Raises ValueError for several processes."""
        if trainer.world_size > 1 or self._fan.ranks.active:
            raise ValueError(
                f"level='parameters' in {trainer.world_size} processes, expected one: use level='features' there"
            )

    def backward(self, losses: Mapping[str, Tensor], shared: Sequence[Tensor], trainer: lightning.Trainer) -> None:
        """Adds balanced gradients to ``.grad``, as backward through the FanOut would.

        Args:
            losses: With their graph, as the tasks have them.
            shared: The shared parameters.
            trainer: Who accumulates gradients or scales losses.
        """
        fan = self._fan
        if isinstance(fan.weighting, Weighting):
            _reuses[fan.weighting] = fan._reuse  # noqa: SLF001  (weights that are held: checkpoints look there)
        record = backward(
            losses,
            fan.weighting,
            shared=shared,
            heads=fan.heads,
            tasks=fan.tasks,
            every=fan._reuse.every,  # noqa: SLF001
            scale=1 / trainer.accumulate_grad_batches,
            grad_scaler=getattr(trainer.precision_plugin, "scaler", None),
            on_nonfinite=fan.on_nonfinite,
            length=fan.length,
        )
        fan.last = record
        fan.skipped.update(record.skipped)


@contextmanager
def handed_on(fan: FanOut) -> Iterator[None]:
    """Within it, the FanOut hands features on: gradients are those of the plain losses."""
    before, fan.training = fan.training, False
    try:
        yield
    finally:
        fan.training = before


def checked_level(level: Level) -> Level:
    """Raises ValueError for another level than those that there are."""
    if level not in get_args(Level):
        raise ValueError(f"level is {level!r}, expected one of {list(get_args(Level))}")
    return level
