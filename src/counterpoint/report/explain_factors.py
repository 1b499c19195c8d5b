"""The sections on what went along with gaps and deficits: each factor along training, and its correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.report import explain_figures as figures
from counterpoint.report.explain_associations import FEWEST_TASKS, TARGETS
from counterpoint.report.explain_axes import Axis
from counterpoint.report.explain_curves import as_ratio, band, over_tasks
from counterpoint.report.explain_factor_words import ALONG, PLACES, factor_sentence, left_out_sentence
from counterpoint.report.explain_tables import factor_table
from counterpoint.report.sections import Group
from counterpoint.study.explain.comparison import mean_over_tasks
from counterpoint.study.explain.factors import FACTORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.report.curves import Curve
    from counterpoint.report.methods import Method
    from counterpoint.report.tables import Row
    from counterpoint.study.explain.comparison import FactorCurves, Place
    from counterpoint.study.explain.factors import Factor
    from counterpoint.study.explain.findings import Findings
    from counterpoint.study.explain.results import ExplainResults

_PLACES: tuple[Place, ...] = ("loss", "step")


@dataclass(frozen=True)
class FactorSection:
    """One factor: its meaning, its figures with their sentence, and its values for each task."""

    factor: Factor
    group: Group
    heads: list[str]
    rows: list[Row]


def factor_sections(
    results: ExplainResults, found: Findings, methods: Sequence[Method]
) -> tuple[list[FactorSection], str]:
    """A section a factor, and which factors were not measured.

    Args:
        results: An explain study.
        found: Its findings.
        methods: The ways of sharing.
    """
    sections, missing = [], []
    for factor in FACTORS.values():
        group = _group(factor, found, methods)
        if group is None:
            missing.append(factor)
        else:
            sections.append(FactorSection(factor, group, *factor_table(factor, found, methods, list(results.tasks))))
    return sections, left_out_sentence(missing)


def _group(factor: Factor, found: Findings, methods: Sequence[Method]) -> Group | None:
    sentence_parts: dict[Place, list[tuple[str, Estimate]]] = {place: [] for place in _PLACES}
    drawn: dict[Place, list[tuple[Method, Curve]]] = {place: [] for place in _PLACES}
    for place in _PLACES:
        for method in methods:
            along = _along(found, method.key, factor, place)
            estimate = mean_over_tasks([part.curves.by_seed for part in along])
            mean = over_tasks([(_places(part), part.curves) for part in along])
            if estimate is None or mean is None:
                continue
            sentence_parts[place].append((method.label, estimate))
            curve = band(*mean)
            drawn[place].append((method, as_ratio(curve) if factor.ratio else curve))
    sentence = factor_sentence(factor, sentence_parts)
    if not sentence:
        return None
    axis, places = _axis(factor), ALONG if factor.shared_only else PLACES
    plots = [
        figures.along(places[place].capitalize(), f"{factor.label}. {sentence}", curves, axis, steps=place == "step")
        for place, curves in drawn.items()
        if curves
    ]
    return Group("", sentence, plots, [])


def _along(found: Findings, method: str, factor: Factor, place: Place) -> list[FactorCurves]:
    comparisons = found.comparisons[method].values()
    known = [(c.at_loss if place == "loss" else c.at_step).get(factor.key) for c in comparisons]
    return [curves for curves in known if curves is not None]


def _places(part: FactorCurves) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Steps; or how far down its common range a training loss lies, because tasks have different losses."""
    return np.linspace(0.0, 100.0, len(part.x)) if part.place == "loss" else part.x


def _axis(factor: Factor) -> Axis:
    if factor.ratio:
        return Axis("ratio to single-task", 1.0, log=True)
    if factor.shared_only:
        return Axis("value", 0.0)
    return Axis("difference", 0.0)


def correlation_group(results: ExplainResults, found: Findings, methods: Sequence[Method]) -> Group | None:
    """Rank correlations of all factors with gap and deficit, at both places; None where there is none.

    Args:
        results: An explain study.
        found: Its findings.
        methods: The ways of sharing.
    """
    if len(results.tasks) < FEWEST_TASKS or not found.associations:
        return None
    known = {association.factor.key for association in found.associations}
    factors = [factor for factor in FACTORS.values() if factor.key in known]
    plots = []
    for target, name in TARGETS.items():
        for place in _PLACES:
            rows = [(m, [found.association(m.key, f.key, place, target) for f in factors]) for m in methods]
            if any(correlation is not None for _, row in rows for correlation in row):
                title = f"With {name}, factors {PLACES[place]}"
                plots.append(figures.correlations(title, f"{title}.", [f.label for f in factors], rows))
    caption = (
        "Dots are Spearman correlations over tasks and seeds, lines their 95 % intervals; filled dots are those whose "
        "interval excludes zero."
    )
    return Group("", caption, plots, [], wide=True)
