"""What limits the conclusions of an explain study, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_associations import by_chance
from counterpoint.report.explain_units import common_metric
from counterpoint.report.wording import NO_BREAK, plural

if TYPE_CHECKING:
    from counterpoint.study.explain.factors import Factor
    from counterpoint.study.explain.findings import Findings
    from counterpoint.study.explain.results import ExplainResults


def limits(results: ExplainResults, found: Findings) -> list[str]:
    """What a reader should keep in mind.

    Args:
        results: An explain study.
        found: Its findings.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.findings import Findings
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> runs, about = pd.DataFrame({"seed": [0, 1]}), {"methods": {}, "tasks": {}}
        >>> limits(ExplainResults(pd.DataFrame(), runs, about), Findings({}, (), ()))[1]
        'They cover other initial weights and another order of the rows, but no other split of the data.'
    """
    seeds = plural(len(results.seeds), "seed")
    gaps = len(results.tasks) * len(results.methods)
    said = [
        f"Intervals are 95{NO_BREAK}% intervals over {seeds}.",
        "They cover other initial weights and another order of the rows, but no other split of the data.",
        (
            f"They are not adjusted for their number: of {plural(gaps, 'gap')} of single tasks, {by_chance(gaps)} "
            "would exclude zero by chance if sharing made no difference."
        ),
        "What goes along with a gap need not cause it, and tasks of one study are few and alike.",
        "Gaps are means over training losses, evenly spaced over the range that all runs of a task reach.",
        "Deficits are means over probe steps, which are dense at the start of training.",
        "Onsets are read off at these training losses; steps between probes are interpolated.",
    ]
    if len(results.seeds) < 3:
        said.append("With two seeds intervals are wide: most differences that are there will not be found.")
    if not common_metric(results):
        said.append(
            "The tasks' metrics differ: gaps are not averaged over tasks, while correlations with it, and means of "
            "deficits, put tasks of different scales together."
        )
    if any(f.kind == "curvature" for f in _measured(found)):
        how = results.about.get("settings", {}).get("curvature", "some of the training rows")
        said.append(
            f"Curvature is estimated in the shared parameters only, at fewer steps than the losses, from {how}."
        )
    return said


def _measured(found: Findings) -> list[Factor]:
    comparisons = [c for by_task in found.comparisons.values() for c in by_task.values()]
    return [curves.factor for c in comparisons for at in (c.at_loss, c.at_step) for curves in at.values()]
