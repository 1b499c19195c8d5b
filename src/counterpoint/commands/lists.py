"""Lists of names on the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# A name in double quotes, where "" stands for one of them; or what comes before the next comma, with those in brackets.
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:,|$)')
_PLAIN = re.compile(r"((?:\([^()]*\)|\[[^\[\]]*\]|[^,])*?)\s*(?:,|$)")


def names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names that were given separated by commas; a config file may list them.

    A name that has a comma in it stands in double quotes. Commas in brackets separate nothing.

    Example:
        >>> names("left, right,")
        ('left', 'right')
        >>> names('"price, net",cut'), names("mgda,crmogm(weighting=mgda, alpha=0.9)")
        (('price, net', 'cut'), ('mgda', 'crmogm(weighting=mgda, alpha=0.9)'))
    """
    if not isinstance(given, str):
        return tuple(given)
    found, place = [], 0
    while place < len(given):
        match = _QUOTED.match(given, place)
        name = match[1].replace('""', '"') if match else ""
        if match is None:
            match = _PLAIN.match(given, place)
            assert match is not None  # noqa: S101  (it takes anything)
            name = match[1].strip()
        found.append(name)
        place = max(match.end(), place + 1)
    return tuple(name for name in found if name)


def listed(given: Sequence[str]) -> str:
    """What :func:`names` reads these names from.

    Example:
        >>> listed(["price, net", "cut"])
        '"price, net",cut'
    """
    return ",".join(name if names(name) == (name,) else '"' + name.replace('"', '""') + '"' for name in given)
