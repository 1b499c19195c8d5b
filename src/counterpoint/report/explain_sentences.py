"""One plain sentence for each picture of an explain study, claiming no more than its intervals support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_units import PLAIN, amount, change, side
from counterpoint.report.wording import listing, number, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.report.explain_units import Unit
    from counterpoint.study.explain.comparison import TaskComparison
    from counterpoint.trajectory.gap import Gap

# A method's label with what was found for it.
Labelled = tuple[str, "Estimate"]
NONE_FOUND = "no difference was found"


def gap_sentence(comparisons: Mapping[str, TaskComparison], labels: Mapping[str, str], unit: Unit = PLAIN) -> str:
    """What sharing did to a task's test metric at comparable training loss.

    Args:
        comparisons: The task's, by method.
        labels: Of the methods.
        unit: Of the metric.

    Example:
        >>> from counterpoint.study.explain.comparison import TaskComparison
        >>> apart = TaskComparison("u", "left", "single", "maximize", None, None, "no common range", None, None, {}, {})
        >>> gap_sentence({"u": apart}, {"u": "Uniform"})
        'At comparable training loss, Uniform cannot be compared with single-task training: no common range.'
    """
    said = [_gap(labels[method], comparison, unit) for method, comparison in comparisons.items()]
    return f"At comparable training loss, {'; '.join(said)}."


def _gap(label: str, comparison: TaskComparison, unit: Unit) -> str:
    gap = comparison.gap
    if gap is None:
        return f"{label} cannot be compared with single-task training: {comparison.problem}"
    found = side(gap.estimate)
    if not found:
        said = f"{NONE_FOUND} for {label} on average ({change(gap.estimate, unit)}, positive is better)"
    else:
        said = f"{label} was {'better' if found > 0 else 'worse'} by {amount(gap.estimate, unit)}"
    return said + _onset(gap, found)


def _onset(gap: Gap, found: int) -> str:
    onset = gap.onset
    if onset is None:
        return ""
    toward = 1 if onset.better else -1
    where = f"from training loss {loss_text(onset.loss)} on"
    steps = f"(step {step_text(onset.multi_step)}, alone step {step_text(onset.single_step)})"
    if toward == found:
        return f", clearly so {where} {steps}"
    return f", though {where} {steps} its intervals lie {'above' if onset.better else 'below'} zero"


def loss_text(value: float) -> str:
    """A training loss with three digits.

    Example:
        >>> loss_text(0.61234)
        '0.612'
    """
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def step_text(value: float) -> str:
    """A step, mean over seeds, as a whole number.

    Example:
        >>> step_text(1234.4)
        '1,234'
    """
    return number(value, 0)


def deficit_sentence(deficits: Sequence[Labelled]) -> str:
    r"""Whether the training loss was higher at equal steps.

    Args:
        deficits: Labels of methods with their deficits.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> deficit_sentence([("Uniform", Estimate(0.2, 0.1, 0.3, 0, 3))]).replace("\N{NO-BREAK SPACE}", " ")
        'At equal steps, training loss with Uniform was higher by 0.20 (95 % interval 0.10 to 0.30).'
    """
    clauses = [
        (estimate, f"with {label} was {higher(estimate)} by {amount(estimate)}", f"for {label} ({change(estimate)})")
        for label, estimate in deficits
    ]
    return f"At equal steps, {by_outcome('training loss', clauses)}."


def higher(estimate: Estimate) -> str:
    """The word for the direction of a change.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> higher(Estimate.of([-1.0, -1.1]))
        'lower'
    """
    return "higher" if estimate.mean > 0 else "lower"


def by_outcome(subject: str, clauses: Sequence[tuple[Estimate, str, str]]) -> str:
    """Differences first, each with its clause; then those for which none was found, in one clause.

    Args:
        subject: What may differ.
        clauses: Estimates, each with its clause where it is a difference, and where none was found.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> one, none = Estimate(1.0, 0.5, 1.5, 0.0, 3), Estimate(1.0, -0.5, 2.5, 0.0, 3)
        >>> by_outcome("the loss", [(one, "with A was higher", "for A"), (none, "with B was higher", "for B")])
        'the loss with A was higher; no difference was found for B'
    """
    found = [clause for estimate, clause, _ in clauses if side(estimate)]
    none = [clause for estimate, _, clause in clauses if not side(estimate)]
    said = [f"{subject} {listing(found)}"] if found else []
    if none:
        said.append(f"no difference {'was found' if found else f'in {subject} was found'} {listing(none)}")
    return "; ".join(said)


def some(names: Sequence[str], most: int = 3) -> str:
    """Up to ``most`` names, and how many more there are.

    Example:
        >>> some(["a", "b", "c"]), some(["a", "b", "c", "d", "e"])
        ('a, b and c', 'a, b, c and 2 more')
    """
    return listing(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


def outcomes_sentence(gained: Sequence[str], lost: Sequence[str], unclear: Sequence[str], apart: Sequence[str]) -> str:
    """How many tasks gained and lost, without a full stop.

    Args:
        gained: Tasks that are better.
        lost: Tasks that are worse.
        unclear: Tasks for which no difference was found.
        apart: Tasks that cannot be compared.

    Example:
        >>> outcomes_sentence(["left"], [], ["right", "sum"], [])
        '1 of 3 tasks gained (left), for 2 no difference was found'
        >>> outcomes_sentence([], [], ["right", "sum"], [])
        'for none of 2 tasks by itself was a difference found'
    """
    total = plural(sum(map(len, (gained, lost, unclear, apart))), "task")
    said: list[str] = []
    for names, word in ((gained, "gained"), (lost, "lost")):
        if names:
            said.append(f"{len(names)}{'' if said else f' of {total}'} {word} ({some(names)})")
    if unclear:
        said.append(
            f"for {len(unclear)} {NONE_FOUND}" if said else f"for none of {total} by itself was a difference found"
        )
    if apart:
        said.append(f"{len(apart)} cannot be compared ({some(apart)})")
    return ", ".join(said)
