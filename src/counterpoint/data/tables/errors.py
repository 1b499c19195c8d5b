"""What is said when a table cannot be used."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class TableError(ValueError):
    """A table, or what was asked of it, that cannot be used. The message is one line and says what to do.

    Rows are counted from 1, without the header: "data row 1" is the first one below it.
    """


def named(names: Iterable[str], limit: int = 8) -> str:
    """Column names in quotes, the first few of many.

    Example:
        >>> named(["a", "b", "c"], limit=2)
        "'a', 'b' and 1 more"
    """
    quoted = [repr(name) for name in names]
    shown = ", ".join(quoted[:limit])
    return shown if len(quoted) <= limit else f"{shown} and {len(quoted) - limit} more"


def nearest(name: str, known: Iterable[str]) -> str:
    """The names that somebody may have meant.

    Example:
        >>> nearest("prize", ["price", "carat"])
        "nearest is 'price'"
    """
    known = list(known)
    folded = {one.lower(): one for one in known}
    close = [folded[one] for one in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
    if close:
        return f"nearest {'is' if len(close) == 1 else 'are'} {named(close)}"
    return f"the columns are {named(known)}"


def distinct(label: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names of a table's columns.

    Raises:
        TableError: if there are none, or one occurs twice.
    """
    for place, name in enumerate(names):
        if name in names[:place]:
            where = f"{names.index(name) + 1} and {place + 1}"
            raise TableError(f"{label}: columns {where} are both called {name!r}, expected different names: rename one")
    if not names:
        raise TableError(f"{label} has no columns, expected a header and rows")
    return tuple(names)
