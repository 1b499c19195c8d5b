"""Names in annotations and docstrings lead to the page of that name, wherever it was imported from.

Annotations say ``counterpoint.balancing.step_record.StepRecord`` or ``StepRecord``; the page is that of
``counterpoint.StepRecord``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


def _resolve(app: Sphinx, env: BuildEnvironment, node: Element, shown: TextElement) -> Element | None:
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    target = node["reftarget"]
    if "." in target and not target.startswith("counterpoint."):
        return None  # torch.Tensor, say
    last = target.rpartition(".")[2]
    found = [name for name in domain.objects if name.rpartition(".")[2] == last]
    found = [name for name in found if domain.objects[name].objtype in {"class", "exception", "function"}]
    if len(found) != 1:
        return None  # nobody's, or not clear whose
    there = domain.objects[found[0]]
    from sphinx.util.nodes import make_refnode  # noqa: PLC0415

    return make_refnode(app.builder, node["refdoc"], there.docname, there.node_id, shown, found[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers with Sphinx."""
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True}
