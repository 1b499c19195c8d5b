"""How a recipe was done: its source, data, methods and differences, as lists and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.report.tables import Cell, Row, facts, moment
from counterpoint.report.wording import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.study.recipes.results import RecipeResults


@dataclass(frozen=True)
class Made:
    """How it was done.

    Attributes:
        words: Heading and text of what is told in words: paper, network, training, changes, differences.
        tasks: Name, kind and description of each task.
        methods: Name and description of each method.
        rows: Splits with their numbers of rows.
        scales: What each loss was multiplied by where scales were tuned.
        versions: Of the software.
        run: Machine, date, seeds.
    """

    words: list[tuple[str, str]]
    tasks: list[Row]
    methods: list[Row]
    rows: list[tuple[str, str]]
    scales: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    run: list[tuple[str, str]]


_WORDS = (
    ("paper", "Published in"),
    ("network", "Network"),
    ("training", "Training"),
    ("changes", "Changed on purpose"),
    ("differences", "Differences from the paper"),
)


def made(results: RecipeResults) -> Made:
    """What ``about`` tells; what it does not know is left out.

    Args:
        results: A finished recipe.
    """
    about = results.about
    rows: Mapping[str, Any] = (about.get("data") or {}).get("rows") or {}
    seeds = ", ".join(str(seed) for seed in sorted(results.scores["seed"].unique()))
    run = [(name, _told(about[name])) for name in ("recipe", "machine") if about.get(name)]
    run += [("date", moment(str(about["started"])))] if about.get("started") else []
    return Made(
        words=[(heading, _told(about[key])) for key, heading in _WORDS if about.get(key)],
        tasks=[_row(task, "name", ("kind", "description")) for task in about.get("tasks") or []],
        methods=[_row(method, "label", ("words",)) for method in about.get("methods") or []],
        rows=[(str(split), f"{count:,}" if isinstance(count, int) else str(count)) for split, count in rows.items()],
        scales=[(str(task), f"{scale:g}") for task, scale in (about.get("scales") or {}).items()],
        versions=facts(about.get("versions") or {}),
        run=[*run, ("seeds", seeds)],
    )


def _row(told: Mapping[str, Any], name: str, columns: tuple[str, ...]) -> Row:
    return Row(str(told.get(name, "")), "", [Cell(str(told.get(column) or NOTHING)) for column in columns])


def _told(value: object) -> str:
    # A list of differences is told as sentences, one after the other.
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
