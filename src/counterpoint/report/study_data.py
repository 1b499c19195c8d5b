"""What a study's data are: rows, features, tasks, missing labels, and columns that were dropped or look like leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.report.study_remarks import leak_warnings
from counterpoint.report.tables import Cell, Row
from counterpoint.report.wording import NO_BREAK, NOTHING, listing, plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.study.study_results import StudyResults

_KINDS = {"binary": "two classes", "multiclass": "classes", "regression": "number", "count": "count"}
_TRANSFORMS = {"log": "logarithm", "log1p": "logarithm of 1 + value"}
_MAX_CLASSES = 8


@dataclass(frozen=True)
class DataSection:
    """The data in words and tables.

    Attributes:
        rows: Splits with their numbers of rows.
        features: Kinds of columns with their numbers.
        warnings: Columns that look like leaks, a sentence each.
        columns: Of the table of tasks.
        tasks: Its rows.
        dropped: Columns that were not used, each with the reason.
    """

    rows: list[tuple[str, str]]
    features: list[tuple[str, str]]
    warnings: list[str]
    columns: list[tuple[str, str]]
    tasks: list[Row]
    dropped: list[tuple[str, str]]


def data_section(results: StudyResults) -> DataSection:
    """The data of a study; what it does not know is left out.

    Args:
        results: A finished study.
    """
    table: dict[str, Any] = results.about.get("table") or {}
    rows: dict[str, Any] = (results.about.get("data") or {}).get("rows") or {}
    known = {str(task["name"]): task for task in table.get("tasks", [])}
    splits = list(dict.fromkeys(split for task in known.values() for split in task.get("missing") or {}))
    labels = [("Missing labels", f"{split} rows") for split in splits]
    described = [("Kind", "")] if known else []
    return DataSection(
        rows=_rows(table, rows),
        features=_features(table),
        warnings=leak_warnings(results),
        columns=[("Task", ""), *described, ("Metric", ""), *labels],
        tasks=[_task(results, task, known, splits, rows) for task in results.tasks],
        dropped=[(str(each["column"]), str(each["reason"])) for each in table.get("dropped", [])],
    )


def _rows(table: Mapping[str, Any], rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [(split, _count(count)) for split, count in rows.items()]
    return [*facts, ("split", str(table["split"]))] if table.get("split") else facts


def _features(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [(str(kind), _count(count)) for kind, count in (table.get("features") or {}).items() if count]
    return [*facts, ("inputs of the network", _count(table["inputs"]))] if table.get("inputs") else facts


def _task(
    results: StudyResults, task: str, known: Mapping[str, Any], splits: list[str], rows: Mapping[str, Any]
) -> Row:
    facts = results.runs[results.runs["task"] == task].iloc[0]
    arrow = "↑" if facts["direction"] == "maximize" else "↓"
    metric = Cell(f"{facts['metric']}{NO_BREAK}{arrow}")
    if not known:
        return Row(task, "", [metric])
    about = known.get(task, {})
    missing = about.get("missing") or {}
    cells = [_missing(missing.get(split), rows.get(split)) for split in splits]
    return Row(task, "", [_kind(about), metric, *cells])


def _kind(about: Mapping[str, Any]) -> Cell:
    kind = str(about.get("kind", NOTHING))
    classes = about.get("classes") or []
    number = classes if isinstance(classes, int) else len(classes)
    said = f"{number:,} classes" if kind == "multiclass" and number else _KINDS.get(kind, kind)
    notes = (
        [f"learned as {_TRANSFORMS.get(how, how)}"] if (how := str(about.get("transform", "none"))) != "none" else []
    )
    if number and not isinstance(classes, int):
        more = [f"{number - _MAX_CLASSES:,} more"] if number > _MAX_CLASSES else []
        notes.append(listing([*map(str, classes[:_MAX_CLASSES]), *more]))
    notes += [str(about["how"])] if about.get("how") else []
    return Cell(said, note="; ".join(notes))


def _missing(missing: int | None, rows: int | None) -> Cell:
    if missing is None:
        return Cell(NOTHING)
    share = f"{100 * missing / rows:.3g}{NO_BREAK}%" if missing and rows else ""
    return Cell(f"{missing:,}", share, raw={"value": missing})


def _count(count: object) -> str:
    return f"{count:,}" if isinstance(count, (int, float)) else str(count)


def study_overview(results: StudyResults) -> str:
    """What the study consists of, in one line.

    Args:
        results: A finished study.
    """
    seeds = {seed for seeds in results.served.values() for seed in seeds}
    counted = [
        plural(len(results.tasks), "task"),
        plural(len(results.methods), "method"),
        plural(len(seeds), "seed"),
        plural(int(results.runs["run"].nunique()), "training"),
    ]
    return listing(counted)
