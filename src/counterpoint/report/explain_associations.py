"""What goes along with gaps and deficits, in sentences: rank correlations over tasks and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_factor_words import PLACES, in_sentence
from counterpoint.report.explain_sentences import some
from counterpoint.report.explain_units import change
from counterpoint.report.wording import plural

if TYPE_CHECKING:
    from counterpoint.study.explain.comparison import Place
    from counterpoint.study.explain.correlation import RankCorrelation
    from counterpoint.study.explain.findings import Findings, Target
    from counterpoint.study.explain.results import ExplainResults

FEWEST_TASKS = 3
TOO_FEW = "Correlations need at least three tasks."
TARGETS: dict[Target, str] = {"gap": "the gap in the test metric", "deficit": "the optimization deficit"}
# Each where it is defined: the deficit compares equal steps, the gap equal training losses.
_PLACE: dict[Target, Place] = {"deficit": "step", "gap": "loss"}

_MANY_TASKS = 8


def conflict_sentence(results: ExplainResults, found: Findings, method: str) -> str:
    """Whether conflict between gradients goes with the deficit, and whether with the gap.

    Args:
        results: An explain study.
        found: Its findings.
        method: Key of the way of sharing.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.correlation import RankCorrelation
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> from counterpoint.study.explain.findings import Association, Findings
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> about = {"methods": {"uniform": "Uniform"}, "tasks": dict.fromkeys("abc", {})}
        >>> study = ExplainResults(pd.DataFrame(), pd.DataFrame(), about)
        >>> clear = RankCorrelation(-0.8, -0.9, -0.6, 3, 2)
        >>> found = Findings({}, (Association("uniform", FACTORS["cosine"], "step", "deficit", clear),), ())
        >>> print(conflict_sentence(study, found, "uniform").split(" (rank")[0])
        Conflict between the tasks' gradients (Uniform): tasks with more of it had a larger optimization deficit
    """
    label = results.methods[method]
    if len(results.tasks) < FEWEST_TASKS:
        return f"What the differences go along with, {len(results.tasks)} tasks cannot tell. {TOO_FEW}"
    said = {target: found.association(method, "cosine", place, target) for target, place in _PLACE.items()}
    if all(correlation is None for correlation in said.values()):
        return f"How conflict between the tasks' gradients goes along with this was not measured for {label}."
    clauses = [_conflict(target, correlation) for target, correlation in said.items()]
    return f"Conflict between the tasks' gradients ({label}): {'; '.join(clauses)}."


def _conflict(target: Target, correlation: RankCorrelation | None) -> str:
    if correlation is None:
        return f"nothing can be said about {TARGETS[target]}"
    numbers = f"rank correlation of the gradient cosine with it {change(correlation)}"
    if not correlation.excludes_zero:
        return f"no relation with {TARGETS[target]} was found ({numbers})"
    more = correlation.value < 0  # a lower cosine is more conflict
    if target == "deficit":
        word = "larger" if more else "smaller"
        return f"tasks with more of it had a {word} optimization deficit ({numbers})"
    word = "more" if more else "less"
    return f"tasks with more of it gained {word} in the test metric ({numbers})"


def associations_sentences(results: ExplainResults, found: Findings) -> list[str]:
    """Which factors go along with gap and deficit, how many intervals were looked at, and how conflict stands.

    Args:
        results: An explain study.
        found: Its findings.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.correlation import RankCorrelation
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> from counterpoint.study.explain.findings import Association, Findings
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> about = {"methods": {"uniform": "Uniform"}, "tasks": dict.fromkeys("abc", {})}
        >>> study = ExplainResults(pd.DataFrame(), pd.DataFrame(), about)
        >>> clear = RankCorrelation(-0.8, -0.9, -0.6, 3, 2)
        >>> found = Findings({}, (Association("uniform", FACTORS["cosine"], "step", "deficit", clear),), ())
        >>> print(associations_sentences(study, found)[1].split(";")[0])
        Of 1 interval, 1 excludes zero
    """
    if len(results.tasks) < FEWEST_TASKS:
        return [f"This study has {plural(len(results.tasks), 'task')}. {TOO_FEW}"]
    total = len(found.associations)
    if not total:
        return ["No factor was measured often enough to correlate it with gap or deficit."]
    named = [
        f"{in_sentence(a.factor)} {PLACES[a.place]} with {TARGETS[a.target]} ({results.methods[a.method]}, "
        f"{change(a.correlation)})"
        for a in sorted(found.associations, key=lambda a: -abs(a.correlation.value))
        if a.correlation.excludes_zero
    ]
    exclude = {0: "none excludes", 1: "1 excludes"}.get(len(named), f"{len(named)} exclude")
    counted = (
        f"Of {plural(total, 'interval')}, {exclude} zero; they are "
        f"not adjusted for their number, and {by_chance(total)} would exclude zero by chance if nothing were related"
        f"{_optimistic(results)}."
    )
    went = [f"A correlation was found of {some(named)}."] if named else ["For no factor was a correlation found."]
    return [*went, counted, *(conflict_sentence(results, found, method) for method in results.methods)]


def _optimistic(results: ExplainResults) -> str:
    """Bootstrap intervals of few tasks are too short: simulated, 9 % of those of 5 tasks miss zero, 5 % of 8."""
    return ", or up to twice as many, since the tasks are few" if len(results.tasks) < _MANY_TASKS else ""


def by_chance(intervals: int) -> str:
    """How many 95 % intervals exclude zero by chance.

    Example:
        >>> by_chance(44), by_chance(4)
        ('about 2', 'fewer than one')
    """
    expected = 0.05 * intervals
    return f"about {expected:.0f}" if expected >= 1 else "fewer than one"
