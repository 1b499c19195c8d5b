"""How a recipe was done: its source, data, methods and differences, as lists and tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.report.tables import Cell, Row, facts, moment
from counterpoint.report.wording import NOTHING, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.study.recipes.results import RecipeResults


@dataclass(frozen=True)
class Made:
    """How it was done.

    Attributes:
        words: Heading and text of what is told in words: paper, network, training, changes, differences.
        task_columns: Of ``tasks``.
        tasks: Name, kind and, where there is one, description of each task.
        methods: Name and description of each method.
        rows: Splits with their numbers of rows.
        scales: What each loss was multiplied by where scales were tuned.
        tried_columns: Tasks with a column each in ``tried``.
        tried: Loss scales that were tried, the best score first.
        failed: Trainings without results, each with its error.
        versions: Of the software.
        run: Machine, date, seeds.
    """

    words: list[tuple[str, str]]
    task_columns: list[tuple[str, str]]
    tasks: list[Row]
    methods: list[Row]
    rows: list[tuple[str, str]]
    scales: list[tuple[str, str]]
    tried_columns: list[tuple[str, str]]
    tried: list[Row]
    failed: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    run: list[tuple[str, str]]


# Vectors of more scales than this are no table.
_MAX_SCALES = 8

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
    tried = sorted(about.get("tried") or [], key=_score, reverse=True)
    scaled = list(tried[0]["scales"]) if tried and len(tried[0]["scales"]) <= _MAX_SCALES else []
    tasks = about.get("tasks") or []
    described = any(task.get("description") for task in tasks)
    seeds = ", ".join(str(seed) for seed in sorted(results.scores["seed"].unique()))
    run = [(name, _told(about[name])) for name in ("recipe", "machine") if about.get(name)]
    run += [("date", moment(str(about["started"])))] if about.get("started") else []
    return Made(
        words=[(heading, _told(about[key])) for key, heading in _WORDS if about.get(key)],
        task_columns=[("Task", ""), ("Kind", ""), *[("Classes or unit", "")] * described],
        tasks=[_row(task, "name", ("kind", "description")[: 1 + described]) for task in tasks],
        methods=[_row(method, "label", ("words",)) for method in about.get("methods") or []],
        rows=[(str(split), f"{count:,}" if isinstance(count, int) else str(count)) for split, count in rows.items()],
        scales=[(str(task), f"{scale:g}") for task, scale in (about.get("scales") or {}).items()],
        tried_columns=[("Score", ""), *((str(task), "") for task in scaled)],
        tried=[_tried(each, scaled) for each in tried] if scaled else [],
        failed=[(_training(each), str(each.get("error"))) for each in about.get("failed") or []],
        versions=facts(about.get("versions") or {}),
        run=[*run, ("seeds", seeds)],
    )


def _score(tried: Mapping[str, Any]) -> float:
    score = float(tried["score"])
    return score if math.isfinite(score) else -math.inf


def _tried(tried: Mapping[str, Any], tasks: list[str]) -> Row:
    scales = [Cell(f"{tried['scales'][task]:.3g}") for task in tasks]
    return Row(number(float(tried["score"]), 4), "", scales)


def _training(failed: Mapping[str, Any]) -> str:
    return str(failed.get("training") or f"{failed.get('label')}, seed {failed.get('seed')}")


def _row(told: Mapping[str, Any], name: str, columns: tuple[str, ...]) -> Row:
    return Row(str(told.get(name, "")), "", [Cell(str(told.get(column) or NOTHING)) for column in columns])


def _told(value: object) -> str:
    # A list of differences is told as sentences, one after the other.
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
