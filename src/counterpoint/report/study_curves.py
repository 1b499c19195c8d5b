"""Losses, weights and cosines over the training of a few methods of a study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from counterpoint.report.methods import methods_of
from counterpoint.report.sections import Group, cosine_groups, curve_groups, weight_group
from counterpoint.study.methods import UNIFORM
from counterpoint.study.results import EXAMPLES, Results
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.report.methods import Method
    from counterpoint.study.study_results import StudyResults


@dataclass(frozen=True)
class CurvesSection:
    """What was recorded over the training steps of the ``methods``."""

    methods: list[Method]
    curves: list[Group]
    weights: Group | None
    cosines: list[Group]


def curves_section(results: StudyResults) -> CurvesSection | None:
    """The curves of each task alone, of the plain sum, and of what was chosen; None where nothing was recorded.

    Args:
        results: A finished study.
    """
    decision = results.decision
    wanted = {BASELINE, UNIFORM, decision.chosen}
    if decision.chosen == BASELINE and decision.sharing:
        wanted.add(decision.sharing)
    scores, history = results.scores("test"), results.curves()
    scores, history = scores[scores["method"].isin(wanted)], history[history["method"].isin(wanted)]
    if history.empty:
        return None
    # Methods may share a run, whose weights would then count twice.
    history = history.assign(run=history["method"] + "/" + history["run"].astype(str))
    shown = Results(scores, history, pd.DataFrame(columns=EXAMPLES))
    # A share of the weights compares methods only where one network holds all tasks.
    joint = {method.key for method in results.methods if len(method.networks) == 1}
    weighted = replace(shown, history=history[history["method"].isin(joint)])
    curves, weights, cosines = curve_groups(shown), weight_group(weighted), cosine_groups(shown)
    return CurvesSection(methods_of(scores), curves, weights, cosines) if curves or weights or cosines else None
