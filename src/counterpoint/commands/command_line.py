"""The command line that does something again."""

from __future__ import annotations

import inspect
import json
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def command_line(command: Callable[..., None], options: Mapping[str, object], *positional: str) -> str:
    """How to call a command with these options; those that are its defaults are left out.

    Args:
        command: The command.
        options: What it was called with; a list is given item by item, values that are not plain as JSON.
        positional: Names of options that are given without their name.

    Example:
        >>> def fry(eggs: int = 2, pan: str = "") -> None: ...
        >>> command_line(fry, {"eggs": 3, "pan": ""})
        'counterpoint fry --eggs=3'
    """
    defaults = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    changed = {name: value for name, value in options.items() if value != defaults[name]}
    first = [_text(changed[name]) for name in positional if name in changed]
    given = [
        f"--{name.replace('_', '-')}={_text(item)}"
        for name, value in changed.items()
        if name not in positional
        for item in (value if isinstance(value, list) else [value])
    ]
    return shlex.join(["counterpoint", command.__name__, *first, *given])


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def names(text: str) -> tuple[str, ...]:
    """Names that were given separated by commas.

    Example:
        >>> names("left, right,")
        ('left', 'right')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())
