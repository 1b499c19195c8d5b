"""Weightings by the name that the literature and the command line use."""

from __future__ import annotations

import difflib
import importlib
import re
from typing import TYPE_CHECKING, Any, get_args

from counterpoint.balancing.weightings.weighting import Length
from counterpoint.names import one_of

if TYPE_CHECKING:
    from counterpoint.balancing.weightings.weighting import Weighting

# Ours: the module's name is the key. TorchJD is imported when a name that is not ours is asked for, not before: it
# takes as long to import as all the rest.
_OURS = {
    "dibs": "DiBS",
    "fairgrad": "FairGrad",
    "gradnorm": "GradNorm",
    "mgda": "MGDA",
    "nash": "Nash",
    "uniform": "Uniform",
}
_THEIRS = "torchjd-"


def weighting_names() -> tuple[str, ...]:
    """Names that :func:`get_weighting` knows: ours, then TorchJD's weightings, aggregators and scalarizers.

    Where both have a method, TorchJD's has the prefix ``torchjd-``. Methods whose optional packages are not installed
    are listed too; :func:`get_weighting` says what to install.

    Example:
        >>> names = weighting_names()
        >>> names[:6]
        ('dibs', 'fairgrad', 'gradnorm', 'mgda', 'nash', 'uniform')
        >>> {"cagrad", "config", "imtlg", "torchjd-mgda", "uw"} <= set(names)
        True
    """
    from counterpoint.balancing.weightings.torchjd_catalog import torchjd_methods  # noqa: PLC0415

    theirs = sorted(f"{_THEIRS}{key}" if key in _OURS else key for key in torchjd_methods())
    return (*sorted(_OURS), *theirs)


def get_weighting(name: str, **options: Any) -> Weighting:
    """Makes a weighting from its name.

    Args:
        name: One of :func:`weighting_names`; case, "-", "_" and spaces do not matter: ``"IMTL-G"`` is ``"imtlg"``. With
            the prefix ``torchjd-``, TorchJD's method even where there is one of ours.
        **options: What the weighting's class takes. Vectors with one number a task may be lists. The number of tasks
            (``shape``, ``n_tasks``) may be left out; it is known once a ``FanOut`` or ``backward`` tells the tasks. The
            ``weighting`` that ``"crmogm"`` smooths may be a name. ``length="sum"``, which every method takes, is
            that of :class:`FanOut`: a name on the command line can ask for it, as in ``'nash(length=sum)'``.

    Raises:
        ValueError: for an unknown name (the nearest ones are named), or an option that it does not have, that
            is missing or out of range.
        TypeError: if the name is no string.
        ImportError: if a package that it needs is missing; the message says what to install.

    Example:
        >>> get_weighting("mgda", solver="frank-wolfe")
        MGDA(solver='frank-wolfe', normalize='none')
        >>> get_weighting("Aligned-MTL", pref_vector=[0.2, 0.8])
        AlignedMTL(pref_vector=[0.2, 0.8])
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r}, expected the name of a weighting such as 'mgda'")
    length = options.pop("length", None)
    if length is not None:
        one_of("length", length, get_args(Length))
        weighting = get_weighting(name, **options)
        weighting.length = length
        return weighting
    key = re.sub(r"[-_\s]", "", name.lower())
    if key in _OURS:
        from counterpoint.balancing.weightings.torchjd_options import checked_options  # noqa: PLC0415

        ours = getattr(importlib.import_module(f"counterpoint.balancing.weightings.{key}"), _OURS[key])
        try:
            return ours(**checked_options(name, ours, options))  # type: ignore[no-any-return]
        except TypeError as error:
            raise ValueError(f"weighting {name!r} does not take these options: {error}") from None

    from counterpoint.balancing.weightings.torchjd_catalog import torchjd_methods, torchjd_weighting  # noqa: PLC0415

    key = key.removeprefix("torchjd")
    if key not in torchjd_methods():
        names = weighting_names()
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4) or names[: len(_OURS)]
        hint = " or ".join(repr(candidate) for candidate in near)
        raise ValueError(f"unknown weighting {name!r}, expected one of {', '.join(names)}: try {hint}")
    if isinstance(options.get("weighting"), str):
        options["weighting"] = get_weighting(options["weighting"])
    return torchjd_weighting(key, name, options)
