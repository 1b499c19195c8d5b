"""What docstrings say, as pages of the site show it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGE = re.compile(r"(?:``)?docs/([a-z-]+)\.md(?:``)?")
FOLDER = re.compile(r"(?:Posix|Windows)Path\(('[^']*')\)")  # as the builder's system calls a path


def _link_pages(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """``docs/min-norm.md``, which readers of the code can open, becomes a link."""
    lines[:] = [PAGE.sub(r":doc:`/\1`", line) for line in lines]


def _readable(  # a part of Sphinx's events: nobody calls it by hand
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, signature: str, result: str
) -> tuple[str, str] | None:
    """Signatures as somebody would write them."""
    if signature == "(*args: Any, **kwargs: Any)":  # nn.Module takes them to refuse them by name
        return "()", result
    # What a dataclass makes anew for each object is no Python, and Sphinx would break the whole line at every comma.
    readable = FOLDER.sub(r"Path(\1)", (signature or "").replace("<factory>", "..."))
    return (readable, result) if signature and readable != signature else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers with Sphinx."""
    app.connect("autodoc-process-docstring", _link_pages)
    app.connect("autodoc-process-signature", _readable)
    return {"parallel_read_safe": True}
