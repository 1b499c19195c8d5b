"""What ``counterpoint COMMAND --help`` prints, as a directive: the reference cannot fall behind the command line."""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WIDTH = "92"  # columns of the terminal: a page's width


def help_of(command: str) -> str:
    """The help of a command, ``""`` for that of the program itself."""
    from counterpoint.cli import main  # noqa: PLC0415  (imports torch)

    said = StringIO()
    with redirect_stdout(said), patch.dict(os.environ, {"COLUMNS": WIDTH, "NO_COLOR": "1"}):
        try:
            main([*command.split(), "--help"])
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"counterpoint {command} --help ended with {end.code}") from end
    return re.sub(".\x08", "", said.getvalue())  # a terminal shows a backspace by erasing; jsonargparse prints one


class CommandHelp(SphinxDirective):
    """``.. command-help:: study``."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The block of text."""
        text = help_of(self.arguments[0] if self.arguments else "")
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers with Sphinx."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
