"""The list of a class's attributes is headed "Attributes", not Sphinx's "Variables"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.domains.python import PyObject

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:  # noqa: ARG001  (Sphinx's signature)
    """Registers with Sphinx."""
    for fields in PyObject.doc_field_types:
        if fields.name == "variable":
            fields.label = "Attributes"
    return {"parallel_read_safe": True}
