"""What docstrings say, as pages of the site show it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGE = re.compile(r"(?:``)?docs/([a-z-]+)\.md(?:``)?")


def _link_pages(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """``docs/min-norm.md``, which readers of the code can open, becomes a link."""
    lines[:] = [PAGE.sub(r":doc:`/\1`", line) for line in lines]


def _without_star_arguments(  # a part of Sphinx's events: nobody calls it by hand
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, signature: str, result: str
) -> tuple[str, str] | None:
    """``nn.Module`` takes ``*args, **kwargs`` to refuse them by name: to readers a class without options has none."""
    return ("()", result) if signature == "(*args: Any, **kwargs: Any)" else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers with Sphinx."""
    app.connect("autodoc-process-docstring", _link_pages)
    app.connect("autodoc-process-signature", _without_star_arguments)
    return {"parallel_read_safe": True}
