"""The command line that does something again."""

from __future__ import annotations

import inspect
import json
import shlex
from typing import TYPE_CHECKING

from counterpoint.commands.lists import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def command_line(command: Callable[..., None], options: Mapping[str, object], *positional: str) -> str:
    """How to call a command with these options; those that are its defaults are left out.

    Args:
        command: The command.
        options: What it was called with; values that are not plain are given as JSON.
        positional: Names of options that are given without their name.

    Example:
        >>> def fry(eggs: int = 2, pan: str = "", salt: bool = False) -> None: ...
        >>> command_line(fry, {"eggs": 3, "pan": "", "salt": True})
        'counterpoint fry --eggs=3 --salt'
    """
    defaults = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    changed = {name: value for name, value in options.items() if value != defaults[name]}
    first = [_text(changed[name]) for name in positional if name in changed]
    given = [
        word
        for name, value in changed.items()
        if name not in positional
        for word in _said(name.replace("_", "-"), value, repeated=isinstance(defaults[name], list))
    ]
    return shlex.join(["counterpoint", command.__name__, *first, *given])


def _said(name: str, value: object, *, repeated: bool) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [f"--{name}={_text(item)}" for item in (value if repeated else [listed(value)])]
    return [f"--{name}={_text(value)}"]


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
