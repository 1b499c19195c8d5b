"""The command line that does something again."""

from __future__ import annotations

import inspect
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def command_line(command: Callable[..., None], options: Mapping[str, object]) -> str:
    """How to call a command with these options; those that are its defaults are left out.

    Example:
        >>> def fry(eggs: int = 2, pan: str = "") -> None: ...
        >>> command_line(fry, {"eggs": 3, "pan": ""})
        'counterpoint fry --eggs=3'
    """
    defaults = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    given = [f"--{name}={value}" for name, value in options.items() if value != defaults[name]]
    return shlex.join(["counterpoint", command.__name__, *given])


def names(text: str) -> tuple[str, ...]:
    """Names that were given separated by commas.

    Example:
        >>> names("left, right,")
        ('left', 'right')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())
