"""The plan of a study: what was to be trained, what was, what it took, and the search for loss scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.report.tables import Cell, Row
from counterpoint.report.wording import NOTHING, duration, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.study.study_results import StudyResults

METHOD_COLUMNS = (("Method", ""), ("Networks", "a seed"), ("Seeds", "done of planned"))


@dataclass(frozen=True)
class PlanSection:
    """The plan in words and tables.

    Attributes:
        facts: Pairs of a name and a value.
        methods: Rows of the table of methods, under ``METHOD_COLUMNS``.
        dropped: What was not trained, each with the reason.
        crashed: Trainings that failed, each with the error.
        columns: Of the table of loss scales.
        scales: Its rows, those with the most seeds first, of these the best on validation rows.
    """

    facts: list[tuple[str, str]]
    methods: list[Row]
    dropped: list[tuple[str, str]]
    crashed: list[tuple[str, str]]
    columns: list[tuple[str, str]]
    scales: list[Row]


def plan_section(results: StudyResults) -> PlanSection | None:
    """The plan of a study, or None where it is not known.

    Args:
        results: A finished study.
    """
    plan = results.plan
    if not plan:
        return None
    # The search goes on with what does best: the mean of one seed does not compare with that of three.
    tried = sorted(plan.get("scales") or [], key=lambda each: (-each.get("seeds", 0), -_order(each.get("validation"))))
    used = next((dict(method.scales) for method in results.methods if method.scales), None)
    tasks = [task for task in results.tasks if any(task in each["scales"] for each in tried)]
    return PlanSection(
        facts=_facts(plan),
        methods=[_method(each) for each in plan.get("methods", [])],
        dropped=[(str(each["what"]), str(each["why"])) for each in plan.get("dropped", [])],
        crashed=[(str(each["title"]), str(each["error"])) for each in plan.get("crashed", [])],
        columns=[("Candidate", ""), ("Δm on validation rows", "mean over seeds"), *((task, "") for task in tasks)],
        scales=[
            _tried(str(place), each, tasks, "used" if each["scales"] == used else "")
            for place, each in enumerate(tried, start=1)
        ],
    )


def _facts(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if plan.get("runs_planned") is not None:
        facts.append(("trainings planned", f"up to {plan['runs_planned']:,}"))
    if plan.get("runs_done") is not None:
        facts.append(("trainings done", f"{plan['runs_done']:,}"))
    if plan.get("runs_reused"):
        facts.append(("of these found finished", f"{plan['runs_reused']:,}"))
    for key, name in (("estimated", "time estimated"), ("spent", "time spent"), ("budget", "budget")):
        if (seconds := plan.get(f"seconds_{key}")) is not None:
            facts.append((name, duration(float(seconds))))
        elif key == "budget":
            facts.append((name, "none"))
    return facts


def _method(each: Mapping[str, Any]) -> Row:
    done, planned = each["seeds_done"], each["seeds_planned"]
    cells = [Cell(f"{each['networks']:,}", raw={"value": each["networks"]}),
             Cell(f"{done:,} of {planned:,}", raw={"value": done, "planned": planned})]  # fmt: skip
    return Row(str(each["label"]), "", cells)


def _tried(name: str, each: Mapping[str, Any], tasks: list[str], said: str) -> Row:
    value, seeds = _order(each.get("validation")), each.get("seeds", 0)
    known = math.isfinite(value)
    judged = Cell(
        percent(value) if known else NOTHING,
        note=f"{seeds} seed{'s' * (seeds != 1)}",
        raw={"value": value} if known else {},
    )
    scales = each["scales"]
    cells = [
        Cell(f"{scales[task]:.3g}", raw={"value": scales[task]}) if task in scales else Cell("1") for task in tasks
    ]
    return Row(name, said, [judged, *cells])


def _order(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else -math.inf
