"""One plain sentence for each picture of an explain study, claiming no more than its intervals support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_units import PLAIN, amount, change, change_parts, ratio, side
from counterpoint.report.verdict import LEVEL
from counterpoint.report.wording import listing, number, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.report.explain_units import Unit
    from counterpoint.study.explain.comparison import Place, TaskComparison
    from counterpoint.study.explain.factors import Factor
    from counterpoint.trajectory.gap import Gap

# A method's label with what was found for it.
Labelled = tuple[str, "Estimate"]
PLACES: dict[Place, str] = {"loss": "at equal training loss", "step": "at equal steps"}
# What exists only among several tasks has nothing to be equal to.
ALONG: dict[Place, str] = {"loss": "along the training loss", "step": "along the steps"}
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
        (estimate, f"with {label} was {_higher(estimate)} by {amount(estimate)}", f"for {label} ({change(estimate)})")
        for label, estimate in deficits
    ]
    return f"At equal steps, {_by_outcome('training loss', clauses)}."


def factor_sentence(factor: Factor, found: Mapping[Place, Sequence[Labelled]]) -> str:
    r"""What sharing did to a factor, at equal training loss and at equal steps.

    Args:
        factor: The factor.
        found: Labels of methods with their means over tasks, by place.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> found = {"step": [("Uniform", Estimate(1.0, 0.5, 1.5, 0.0, 3))]}  # of base-2 logarithms
        >>> factor_sentence(FACTORS["sharpness"], found).replace("\N{NO-BREAK SPACE}", " ")
        'At equal steps, sharpness with Uniform was 2.0 times as high (95 % interval 1.4 to 2.8).'
    """
    places = ALONG if factor.shared_only else PLACES
    parts = [f"{places[place]}, {_factor(factor, labelled)}" for place, labelled in found.items() if labelled]
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _factor(factor: Factor, labelled: Sequence[Labelled]) -> str:
    name = in_sentence(factor)
    if factor.shared_only:
        return f"{name} averaged " + listing([f"{own_value(e, factor)} with {label}" for label, e in labelled])
    clauses = []
    for label, estimate in labelled:
        if factor.ratio:
            clauses.append(
                (estimate, f"with {label} was {ratio(estimate)}", f"for {label} ({ratio(estimate, nested=True)})")
            )
        else:
            higher = f"with {label} was {_higher(estimate)} by {amount(estimate)}"
            clauses.append((estimate, higher, f"for {label} ({change(estimate)})"))
    return _by_outcome(name, clauses)


def own_value(estimate: Estimate, factor: Factor) -> str:
    r"""The mean of a factor that exists among several tasks only, with its interval; a cosine has a sign.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> own_value(Estimate(0.2, 0.1, 0.3, 0.0, 3), FACTORS["cosine"]).replace("\N{NO-BREAK SPACE}", " ")
        '+0.20 (95 % interval +0.10 to +0.30)'
    """
    mean, ends = change_parts(estimate)
    said = f"{mean} ({LEVEL} {ends})"
    return said if factor.key == "cosine" else said.replace("+", "")


def in_sentence(factor: Factor) -> str:
    """A factor's name in the middle of a sentence: names such as SAM, Fisher and Hessian keep their capitals.

    Example:
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> [in_sentence(FACTORS[key]) for key in ("sharpness", "hessian_trace", "negative_share", "sam_sharpness")]
        ['sharpness', 'the Hessian trace', 'the share of conflicting tasks', 'SAM sharpness']
    """
    if factor.key == "negative_share":
        return "the share of conflicting tasks"
    label = factor.label
    kept = label.startswith(("Hessian", "Fisher", "SAM"))
    name = label if kept else label[:1].lower() + label[1:]
    return name if factor.key in {"sharpness", "sam_sharpness", "magnitude_similarity"} else f"the {name}"


def _higher(estimate: Estimate) -> str:
    return "higher" if estimate.mean > 0 else "lower"


def _by_outcome(subject: str, clauses: Sequence[tuple[Estimate, str, str]]) -> str:
    """Differences first, each with its clause; then those for which none was found, in one clause."""
    found = [clause for estimate, clause, _ in clauses if side(estimate)]
    none = [clause for estimate, _, clause in clauses if not side(estimate)]
    said = [f"{subject} {listing(found)}"] if found else []
    if none:
        said.append(f"no difference {'was found' if found else f'in {subject} was found'} {listing(none)}")
    return "; ".join(said)


def left_out_sentence(factors: Sequence[Factor]) -> str:
    """Which factors were not measured; nothing where all were.

    Example:
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> left_out_sentence([FACTORS["sharpness"], FACTORS["hessian_trace"]])
        'Not measured often enough, so not shown: sharpness and the Hessian trace.'
    """
    return f"Not measured often enough, so not shown: {listing([in_sentence(f) for f in factors])}." if factors else ""


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
