"""Links that work in the repository lead to the page of the site that shows the same.

A guide is a program in ``examples`` there and a page of the gallery here; README, CHANGELOG and CONTRIBUTING lie above
``docs`` there. Other files of the repository (benchmarks, results) become downloads, which is MyST's own doing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GUIDE = re.compile(r"\]\((?:\.\./docs/)?examples/(plot_\w+)\.py\)")
PAGES = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../docs/": "",
}


def to_the_site(text: str) -> str:
    """The text of a page with links into the site.

    Example:
        >>> to_the_site("[combine](examples/plot_1_combine.py), [how](../CONTRIBUTING.md#house-rules)")
        '[combine](gallery/plot_1_combine.rst), [how](contributing.md#house-rules)'
    """
    text = GUIDE.sub(r"](gallery/\1.rst)", text)
    for there, here in PAGES.items():
        text = text.replace(f"]({there}", f"]({here}")
    return text


def _rewrite(app: Sphinx, page: str, source: list[str]) -> None:
    if app.env.doc2path(page).suffix == ".md":
        source[0] = to_the_site(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers with Sphinx."""
    app.connect("source-read", _rewrite)
    return {"parallel_read_safe": True}
