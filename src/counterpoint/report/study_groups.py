"""The affinity that a study measured, the groups it led to, and how they did."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from counterpoint.report.affinity_map import AffinitySection, affinity_section
from counterpoint.report.group_figures import Predicted, predicted_scores
from counterpoint.report.memberships import Groups, members, proof
from counterpoint.report.sections import Group
from counterpoint.report.study_tables import change_cell, standing
from counterpoint.report.verdict import LEVEL
from counterpoint.study.group_results import Candidate
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.study.methods import Method
    from counterpoint.study.study_results import StudyResults


@dataclasses.dataclass(frozen=True)
class GroupsSection:
    """Affinity and groups.

    Attributes:
        affinity: In words and as a heat map, None where nothing was measured.
        sizes: Predicted score by number of networks, None where fewer than two sizes were searched.
        methods: Each grouping with what stands above it, and whether it is the one chosen.
    """

    affinity: AffinitySection | None
    sizes: Group | None
    methods: list[tuple[Method, str, Groups, bool]]


def groups_section(results: StudyResults) -> GroupsSection | None:
    """Affinity and groups of a study, or None where it has neither.

    Args:
        results: A finished study.
    """
    grouped = [method for method in results.methods if method.predicted is not None]
    if results.affinity is None and not grouped:
        return None
    shown = next((method for method in grouped if method.key == results.decision.chosen), None)
    shown = shown or max(grouped, key=lambda method: len(method.networks), default=None)
    found = [(method, _measured(results, method), _groups(results, method), method is shown) for method in grouped]
    return GroupsSection(
        affinity=_affinity(results, shown),
        sizes=_sizes(grouped),
        methods=found,
    )


def _affinity(results: StudyResults, shown: Method | None) -> AffinitySection | None:
    if results.affinity is None:
        return None
    networks, whose = (shown.networks, f"the groups of {shown.label}") if shown else ((), "")
    return affinity_section(results.affinity, networks, whose)


def _sizes(grouped: list[Method]) -> Group | None:
    by_size = {len(method.networks): method for method in grouped}
    if len(by_size) < 2:
        return None
    rows = [
        Predicted(size, method.predicted or 0.0, method.predicted if method.proven else None, method.proven)
        for size, method in sorted(by_size.items())
    ]
    caption = (
        "Mean affinity that tasks receive in their networks. Filled points are proven to be the best of their size."
    )
    return Group("", caption, [predicted_scores(rows)], [])


def _groups(results: StudyResults, method: Method) -> Groups:
    bound, status = (method.predicted, "optimal") if method.proven else (None, "feasible")
    size = len(method.networks)
    candidate = Candidate("tag", size, method.networks, score=method.predicted, bound=bound, status=status)
    return Groups(candidate, (), members(method.networks, results.tasks), proof(candidate))


def _measured(results: StudyResults, method: Method) -> str:
    """What test rows say about a grouping."""
    found = results.decision.contrast(method.key, BASELINE)
    if found is None:
        return "Nothing to compare it with."
    cell = change_cell(found.test)
    ends = f", {LEVEL} {cell.spread}" if cell.spread else ""
    place = standing(results, method.key)
    return f"Measured on test rows: Δm {cell.value}{ends}: {cell.note}." + (f" {place.capitalize()}." if place else "")
