"""Backward passes of one task alone, which no layer must balance."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Single = Literal["passed", "refused"]
_single: list[Single] = []


@contextlib.contextmanager
def single_task(through: Single) -> Iterator[None]:
    """Within it, backward passes are of one task alone, which a layer must not balance, in compiled code neither.

    Args:
        through: ``"passed"`` lets gradients through every FanOut as they are: neither ``last`` nor a weighting that
            learns takes them for a training step. ``"refused"`` raises ValueError in one that would balance.
    """
    _single.append(through)
    try:
        yield
    finally:
        _single.pop()


def of_single_task() -> Single | None:
    """How a backward pass of one task goes through a layer; ``None`` for an ordinary one."""
    return _single[-1] if _single else None
