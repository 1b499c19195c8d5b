"""Affinities as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.atomic import write_atomically

if TYPE_CHECKING:
    from counterpoint.affinity.affinity import Affinity

SCHEMA = "counterpoint.affinity"
VERSION = 1

_MATRICES = ("values", "standard_error", "counts")


def to_document(affinity: Affinity) -> dict[str, Any]:
    """What is written: matrices as lists of rows, NaN as null, phases nested without what they share."""
    phases = {name: _measured(phase) for name, phase in affinity.phases.items()}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "tasks": list(affinity.tasks),
        "method": affinity.method,
        "about": dict(affinity.about),
        **_measured(affinity),
        "phases": phases,
    }


def _measured(affinity: Affinity) -> dict[str, Any]:
    matrices = {
        name: [[value if math.isfinite(value) else None for value in row] for row in getattr(affinity, name).tolist()]
        for name in _MATRICES
    }
    return {"steps": int(affinity.steps), **matrices}


def from_document(document: dict[str, Any], path: str | Path) -> Affinity:
    """Undoes :func:`to_document`.

    Raises:
        ValueError: for a document of another schema, or one that does not hold together.
    """
    from counterpoint.affinity.affinity import Affinity  # noqa: PLC0415  (which imports this module)

    if document.get("schema") != SCHEMA:
        raise ValueError(f"'{path}' has schema {document.get('schema')!r}, expected {SCHEMA!r} as Affinity.save writes")
    if document.get("version") != VERSION:
        raise ValueError(
            f"'{path}' has version {document.get('version')!r} of {SCHEMA}, expected {VERSION}: measure again, or read "
            "it with the version of counterpoint that wrote it"
        )
    try:
        common: dict[str, Any] = {name: document[name] for name in ("tasks", "method", "about")}
        phases = {name: Affinity(**_matrices(phase), **common) for name, phase in document["phases"].items()}
        return Affinity(**_matrices(document), **common, phases=phases)
    except KeyError as error:
        raise ValueError(f"'{path}' has no {error}, expected what Affinity.save writes") from None
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"'{path}' holds no affinities: {error}") from None


def _matrices(document: dict[str, Any]) -> dict[str, Any]:
    steps = document["steps"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps is {steps!r}, expected a number of steps")
    values = _rows(document["values"])
    error = _rows(document["standard_error"])
    return {"steps": steps, "values": values, "standard_error": error, "counts": document["counts"]}


def _rows(rows: list[list[float | None]]) -> list[list[float]]:
    return [[math.nan if value is None else value for value in row] for row in rows]


def read_document(path: str | Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: if there is none.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"'{path}' cannot be read ({error.strerror}), expected a file that Affinity.save wrote"
        ) from None
    except (ValueError, RecursionError):  # JSON and UTF-8 errors are ValueErrors
        raise ValueError(f"'{path}' is not JSON, expected a file that Affinity.save wrote") from None
    if not isinstance(document, dict):
        what = type(document).__name__
        raise ValueError(f"'{path}' holds a {what}, expected a file that Affinity.save wrote")  # noqa: TRY004  (a file)
    return document


def write_document(path: str | Path, document: dict[str, Any]) -> None:
    """Fills a temporary file beside the target, then renames it, so that no half file is ever seen.

    Raises:
        ValueError: if that is not possible.
    """
    target = Path(path)
    try:
        text = (json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cannot write '{target}': {error}; expected names in Unicode and about= of numbers, strings, true or false"
        ) from None
    try:
        write_atomically(target, lambda temporary: temporary.write_bytes(text))
    except OSError as error:
        raise ValueError(f"cannot write '{target}': {error.strerror}; choose another place") from None
