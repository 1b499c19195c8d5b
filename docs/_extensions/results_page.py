"""The page of results is written from ``benchmarks/results`` before the site is built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

REPOSITORY = Path(__file__).parents[2]


def _write(app: Sphinx) -> None:
    script = REPOSITORY / "benchmarks" / "results_page.py"
    page = Path(app.srcdir) / "results.md"
    if not script.exists():
        page.write_text("# Results\n")
        return
    subprocess.run([sys.executable, str(script), "--out", str(page)], check=True)  # noqa: S603  (our own script)


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers with Sphinx."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
