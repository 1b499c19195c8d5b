"""What every file in benchmarks/results says, and the check of it.

    {"benchmark": "step_cost",                     the script that wrote it
     "date": "2026-11-22T07:01:01+00:00",
     "machine": {"cpu", "cores", "load_average", "platform", "python", "threads", and versions},
     "seeds": "...",                               a sentence: which, or why there are none
     "settings": {...},                            whatever the script was told
     "results": [{...}, ...],
     "targets": [{"name", "target", "measured", "met"}]}

A file may also say `"derived": {field: why}` of fields that were added after the measurement. There is no NaN, and no
path of the machine it was measured on. `measuring.record` writes nothing that `problems` objects to.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = ("benchmark", "date", "machine", "seeds", "settings", "results", "targets")
MACHINE = {"cpu": str, "cores": int, "load_average": list, "platform": str, "python": str, "threads": int}
VERSIONS = ("torch", "numpy", "scipy", "torchjd", "quadprog", "counterpoint")
TARGET = ("name", "target", "measured", "met")
# Where people's and machines' own files are; "benchmarks/results/..." and "Class1/tmp" are not meant.
_PATH = re.compile(r"(?:^|[\s\"'=(,:])(?:/(?:work|tmp|home|root|Users|mnt|opt|usr|var)\b|~/|[A-Za-z]:\\)")


def problems(document: dict[str, Any]) -> list[str]:
    """What is wrong with a document, one line each; nothing if it is as it should be."""
    missing = [field for field in FIELDS if field not in document]
    if missing:
        return [f"it has no {', '.join(missing)}"]
    return [
        *_fields(document),
        *_machine(document["machine"]),
        *_targets(document["targets"]),
        *(f"{place}: {what}" for place, value in _leaves(document, "") if (what := _objection(value))),
    ]


def _fields(document: dict[str, Any]) -> Iterator[str]:
    unknown = sorted(set(document) - {*FIELDS, "derived"})
    if unknown:
        yield f"unknown fields: {', '.join(unknown)}"
    if not (isinstance(document["benchmark"], str) and document["benchmark"]):
        yield f"benchmark: expected a name, found {document['benchmark']!r}"
    if not (isinstance(document["seeds"], str) and document["seeds"].strip()):
        yield "seeds: it does not say which; set settings['seeds'] to their number, or give record(seeds=...) the words"
    if not isinstance(document["settings"], dict):
        yield "settings: expected an object"
    results = document["results"]
    if not (isinstance(results, list) and results and all(isinstance(row, dict) and row for row in results)):
        yield "results: expected a list of at least one object"
    try:
        dated = datetime.fromisoformat(document["date"]).tzinfo is not None
    except (TypeError, ValueError):
        dated = False
    if not dated:
        yield f"date: expected ISO 8601 with a time zone, found {document['date']!r}"
    derived = document.get("derived", {})
    if not (isinstance(derived, dict) and all(field in document and why for field, why in derived.items())):
        yield "derived: expected an object of fields that are there, each with a reason"


def _machine(machine: Any) -> Iterator[str]:
    if not isinstance(machine, dict):
        yield "machine: expected an object"
        return
    for name, kind in MACHINE.items():
        if not isinstance(machine.get(name), kind):
            yield f"machine: {name}: expected {kind.__name__}, found {machine.get(name)!r}"
    for name in VERSIONS:
        if name not in machine or not isinstance(machine[name], str | None):
            yield f"machine: {name}: expected a version, or null where it is not installed"


def _targets(targets: Any) -> Iterator[str]:
    if not isinstance(targets, list):
        yield "targets: expected a list"
        return
    for target in targets:
        if not isinstance(target, dict) or not set(TARGET) <= set(target):
            yield f"targets: expected {', '.join(TARGET)}, found {target!r}"
            continue
        measured = target["measured"]
        if target["met"] is not (measured is not None and measured <= target["target"]):
            yield f"targets: {target['name']}: met is {target['met']}, {measured} against {target['target']}"


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, own in value.items():
            yield place, key
            yield from _leaves(own, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for own in value:
            yield from _leaves(own, place)
    else:
        yield place, value


def _objection(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number; null says that there is none"
    if isinstance(value, str) and _PATH.search(value):
        return f"a path of one machine: {value!r}"
    return ""
