"""What each weighting changed against the plain sum: conflict, deficit and gap, in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_units import PLAIN, amount, change, change_parts, common_metric, metric_unit, side
from counterpoint.report.tables import Cell, Row
from counterpoint.report.wording import NOTHING, listing, plural
from counterpoint.study.explain.findings import SUBJECTS, UNIFORM

if TYPE_CHECKING:
    from counterpoint.report.explain_units import Unit
    from counterpoint.study.explain.findings import Answer, Findings, Subject
    from counterpoint.study.explain.results import ExplainResults

# What a change above zero is called, and one below.
_WORDS: dict[Subject, tuple[str, str]] = {
    "conflict": ("less conflict", "more conflict"),
    "deficit": ("larger deficit", "smaller deficit"),
    "gap": ("better", "worse"),
}
_CLAIMS: dict[Subject, tuple[str, str]] = {
    "conflict": (
        "less conflict between gradients (mean cosine higher by {})",
        "more conflict between gradients (mean cosine lower by {})",
    ),
    "deficit": (
        "a larger optimization deficit (training loss higher by {})",
        "a smaller optimization deficit (training loss lower by {})",
    ),
    "gap": (
        "a better {metric} at comparable training loss (by {})",
        "a worse {metric} at comparable training loss (by {})",
    ),
}
_SUBJECTS: dict[Subject, str] = {
    "conflict": "conflict (mean cosine {})",
    "deficit": "the deficit ({})",
    "gap": "{metric} at comparable training loss ({}, positive is better)",
}
_UNKNOWN: dict[Subject, str] = {
    "conflict": "conflict was not measured",
    "deficit": "the deficit cannot be compared",
    "gap": "no common range of training losses",
}
_DIFFERENT = "the tasks' metrics differ, so no mean is given"


def weighting_sentence(results: ExplainResults, found: Findings, method: str) -> str:
    r"""What a weighting changed, against the plain sum, in one sentence.

    Args:
        results: An explain study.
        found: Its findings.
        method: Key of the weighting.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.estimate import Estimate
        >>> from counterpoint.study.explain.findings import Answer, Findings
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> about = {"methods": {"uniform": "Uniform", "mgda": "MGDA-UB"}, "tasks": {}}
        >>> study = ExplainResults(pd.DataFrame(), pd.DataFrame(), about)
        >>> answer = Answer("mgda", "deficit", Estimate(0.2, 0.1, 0.3, 0.0, 3), tasks=0)
        >>> said = weighting_sentence(study, Findings({}, (), (answer,)), "mgda")
        >>> print(said.replace("\N{NO-BREAK SPACE}", " ").split(" (")[0])
        Compared with Uniform, MGDA-UB had a larger optimization deficit
    """
    claims, none, unknown = [], [], []
    metric = f"test {common_metric(results)}"
    for answer in answers_of(found, method):
        unit, subject, estimate = _unit(results, answer), answer.subject, answer.estimate
        if (problem := _problem(results, answer)) or estimate is None:
            unknown.append(problem)
        elif direction := side(estimate):
            said = amount(estimate, unit, nested=True) + _share(results, answer)
            claims.append(_CLAIMS[subject][direction < 0].format(said, metric=metric))
        else:
            said = change(estimate, unit) + _share(results, answer)
            none.append(_SUBJECTS[subject].format(said, metric=metric))
    parts = [f"{results.methods[method]} had {listing(claims)}"] if claims else []
    if none:
        about = "" if claims else f" for {results.methods[method]}"
        parts.append(f"no difference was found{about} in {listing(none)}")
    parts += unknown
    return f"Compared with {results.methods[UNIFORM]}, {'; '.join(parts)}."


def _share(results: ExplainResults, answer: Answer) -> str:
    return "" if answer.tasks == len(results.tasks) else f", {answer.tasks} of {plural(len(results.tasks), 'task')}"


def answers_of(found: Findings, method: str) -> list[Answer]:
    """A weighting's answers on conflict, deficit and gap, in this order.

    Example:
        >>> from counterpoint.study.explain.findings import Answer, Findings
        >>> answers = (Answer("mgda", "gap", None, 0), Answer("mgda", "conflict", None, 0))
        >>> [answer.subject for answer in answers_of(Findings({}, (), answers), "mgda")]
        ['conflict', 'gap']
    """
    by_subject = {answer.subject: answer for answer in found.answers if answer.method == method}
    return [by_subject[subject] for subject in SUBJECTS if subject in by_subject]


def answers_table(results: ExplainResults, found: Findings) -> list[Row]:
    """One row a weighting with a cell for each of conflict, deficit and gap.

    Args:
        results: An explain study.
        found: Its findings.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.estimate import Estimate
        >>> from counterpoint.study.explain.findings import Answer, Findings
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> about = {"methods": {"uniform": "Uniform", "mgda": "MGDA-UB"}, "tasks": {}}
        >>> study = ExplainResults(pd.DataFrame(), pd.DataFrame(), about)
        >>> answer = Answer("mgda", "deficit", Estimate(0.2, 0.1, 0.3, 0.0, 3), tasks=0)
        >>> answers_table(study, Findings({}, (), (answer,)))[0].cells
        [Cell(value='+0.20', spread='+0.10 to +0.30', note='larger deficit')]
    """
    return [
        Row(label, "", [_cell(results, answer) for answer in answers_of(found, method)])
        for method, label in results.methods.items()
        if answers_of(found, method)
    ]


def _cell(results: ExplainResults, answer: Answer) -> Cell:
    if (problem := _problem(results, answer)) or answer.estimate is None:
        return Cell(NOTHING, note=problem)
    unit, direction = _unit(results, answer), side(answer.estimate)
    words = _WORDS[answer.subject][direction < 0] if direction else "no difference found"
    mean, ends = change_parts(answer.estimate, unit)
    return Cell(f"{mean}{unit.suffix}", ends, words + _share(results, answer))


def _problem(results: ExplainResults, answer: Answer) -> str:
    if answer.estimate is None:
        return _UNKNOWN[answer.subject]
    return _DIFFERENT if answer.subject == "gap" and not common_metric(results) else ""


def _unit(results: ExplainResults, answer: Answer) -> Unit:
    return metric_unit(results) if answer.subject == "gap" else PLAIN
