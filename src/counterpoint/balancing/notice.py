"""Warnings that point at the user's own line."""

from __future__ import annotations

import sys
import warnings

_INSIDE = frozenset({"counterpoint", "torch"})


def notice(message: str) -> None:
    """Warns as if the nearest line of somebody else's code did: the loss, the call of a layer, ``.backward()``.

    Args:
        message: One line.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     notice("the loss of task 'a' ...")
        >>> caught[0].category.__name__
        'UserWarning'
    """
    level, frame = 2, sys._getframe(1)  # noqa: SLF001  (the documented way to a caller, as in logging)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
