"""Weightings by the name that the literature and the command line use."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from counterpoint.balancing.weightings.mgda import MGDA
from counterpoint.balancing.weightings.uniform import Uniform

if TYPE_CHECKING:
    from counterpoint.balancing.weightings.weighting import Weighting

_OURS: dict[str, type[Weighting]] = {"mgda": MGDA, "uniform": Uniform}


def weighting_names() -> tuple[str, ...]:
    """Names that :func:`get_weighting` knows.

    Example:
        >>> weighting_names()
        ('mgda', 'uniform')
    """
    return tuple(sorted(_OURS))


def get_weighting(name: str, **options: Any) -> Weighting:
    """Makes a weighting from its name.

    Args:
        name: One of :func:`weighting_names`; case does not matter.
        **options: What the weighting's class takes.

    Raises:
        ValueError: for an unknown name (the nearest ones are named) or an option the weighting does not have.

    Example:
        >>> get_weighting("mgda", solver="frank-wolfe")
        MGDA(solver='frank-wolfe', normalize='none')
    """
    key = name.lower()
    if key not in _OURS:
        near = difflib.get_close_matches(key, _OURS, n=3, cutoff=0.4) or sorted(_OURS)
        hint = " or ".join(repr(candidate) for candidate in near)
        raise ValueError(f"unknown weighting {name!r}, expected one of {', '.join(weighting_names())}: try {hint}")
    try:
        return _OURS[key](**options)
    except TypeError as error:
        raise ValueError(f"weighting {name!r} does not take these options: {error}") from None
