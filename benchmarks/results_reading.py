"""Saved results: files, rows in them, and the line that says where a table comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from commands import COMMANDS, RESULTS, command

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]
Document = dict[str, Any]


def load(name: str) -> Document:
    """A file of benchmarks/results, by its name."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def there(name: str) -> bool:
    """Whether it has been measured."""
    return (RESULTS / f"{name}.json").exists()


def measured() -> list[str]:
    """Names of the files that are there, in the order of the page; those that no command writes come last."""
    known = [own.name for own in COMMANDS]
    found = {path.stem for path in RESULTS.glob("*.json")}
    return [name for name in known if name in found] + sorted(found - set(known))


def rows(document: Document, **where: Any) -> list[Row]:
    """Results with these values; of a key with a space in it write an underscore."""
    wanted = {key.replace("_", " "): value for key, value in where.items()}
    return [row for row in document["results"] if all(row.get(key) == value for key, value in wanted.items())]


def row(document: Document, **where: Any) -> Row:
    """The one result with these values.

    Raises:
        ValueError: if there is none, or more than one.
    """
    found = rows(document, **where)
    if len(found) != 1:
        raise ValueError(f"{document['benchmark']}: {len(found)} results with {where}, expected one")
    return found[0]


def provenance(names: Sequence[str]) -> list[str]:
    """Lines that say of each file: machine, versions, seeds, date, script, and the command that reproduces it."""
    lines = []
    for name in names:
        document = load(name)
        where = document["machine"]
        versions = [f"Python {where['python']}", f"torch {where['torch']}", f"numpy {where['numpy']}"]
        versions += [f"SciPy {where['scipy']}"] + ([f"TorchJD {where['torchjd']}"] if where["torchjd"] else [])
        threads = f"{where['threads']} thread{'s' if where['threads'] > 1 else ''}"
        parts = [
            f"<small>*Source: `benchmarks/results/{name}.json`, {document['date'][:10]}.",
            f"{where['cpu']}, {where['cores']} cores, {threads}, load {where['load_average'][0]:.1f};",
            f"{', '.join(versions)}. Seeds: {document['seeds']}.",
            f"Command:* `{command(name)}`</small>",
        ]
        lines += [" ".join(parts), ""]
    return lines
