"""Names that users give, of tasks and of options: what is accepted, and which one they may have meant.

Stands on the standard library alone, so that every part can use it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def checked_names(tasks: Iterable[str], option: str = "tasks") -> tuple[str, ...]:
    """Names of tasks, each once.

    Args:
        tasks: The names.
        option: What messages call them.

    Raises:
        TypeError: for one string, a set, what is no sequence, or something in it that is not a name.
        ValueError: for no names, or one given twice.

    Example:
        >>> checked_names(["left", "right"])
        ('left', 'right')
    """
    if isinstance(tasks, str):
        raise TypeError(f"{option}={tasks!r} is one string, expected a sequence of names such as [{tasks!r}]")
    if isinstance(tasks, (set, frozenset)):
        raise TypeError(
            f"{option} is a {type(tasks).__name__}, expected a sequence such as {sorted(map(str, tasks))}: a set has "
            "another order in every process"
        )
    if not hasattr(tasks, "__iter__"):
        raise TypeError(f"{option} is a {type(tasks).__name__}, expected a sequence of names such as ['a', 'b']")
    names = tuple(tasks)
    if not names:
        raise ValueError(f"{option} is empty, expected at least one task name")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{option} holds {name!r}, expected names (str)")
        if names.count(name) > 1:
            raise ValueError(f"task {name!r} is given {names.count(name)} times in {option}, expected each name once")
    return names


def known(name: str, tasks: Sequence[str], option: str = "") -> str:
    """The name, if it is that of a task.

    Args:
        name: What the user gave.
        tasks: The names that there are.
        option: Where it was given, for the message.

    Raises:
        ValueError: if not; the nearest is named.
    """
    if name not in tasks:
        where = f"{option} names " if option else ""
        raise ValueError(f"{where}unknown task {name!r}, expected names among {list(tasks)}{did_you_mean(name, tasks)}")
    return name


def one_of(option: str, given: object, accepted: Sequence[object]) -> None:
    """Looks at an option that has a few values.

    Args:
        option: Its name.
        given: What the user gave.
        accepted: The values, such as ``get_args`` of a ``Literal``.

    Raises:
        ValueError: for any other; the nearest is named.

    Example:
        >>> one_of("solver", "active-st", ("active-set", "frank-wolfe"))
        Traceback (most recent call last):
        ValueError: solver='active-st' is unknown, expected one of active-set, frank-wolfe; did you mean 'active-set'?
    """
    if given not in accepted:
        listed = [str(value) for value in accepted]
        hint = did_you_mean(given, listed)
        raise ValueError(f"{option}={given!r} is unknown, expected one of {', '.join(listed)}{hint}")


def did_you_mean(given: object, names: Iterable[str]) -> str:
    """The end of a message: the nearest name in a question; empty if none is near.

    Example:
        >>> did_you_mean("dept", ["edges", "depth"])
        "; did you mean 'depth'?"
    """
    near = difflib.get_close_matches(str(given), list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
