"""What qualifies a study's verdict: how it was chosen, what was left out, and what to distrust."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from counterpoint.report.explain_units import amount, change
from counterpoint.report.study_words import PERCENT, cheaper, names, phrase, reasons
from counterpoint.report.verdict import LEVEL
from counterpoint.report.wording import plural
from counterpoint.study.methods import TUNED, UNIFORM
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.study.study_results import StudyResults

_MAX_LEAKS = 3


def remarks(results: StudyResults) -> list[str]:
    """Sentences that belong to the verdict; suspicious columns come first.

    Args:
        results: A finished study.
    """
    leaks = leak_warnings(results)
    more = f"{len(leaks) - _MAX_LEAKS} more columns look like leaks."
    made = [
        *leaks[:_MAX_LEAKS],
        more if len(leaks) > _MAX_LEAKS else "",
        *(str(note) for note in (results.about.get("table") or {}).get("notes", [])),
        _leader(results),
        _simpler(results),
        *_better_but_ruled_out(results),
    ]
    made += [_dropped(results.plan), _crashed(results.plan), *_reach(results)]
    return [sentence for sentence in made if sentence]


def leak_warnings(results: StudyResults) -> list[str]:
    """One warning for each column that determines a target almost exactly.

    Args:
        results: A finished study.
    """
    table = results.about.get("table") or {}
    return [
        f"Suspicious: {_lowered(str(leak['sentence'])).rstrip('. ')}. "
        f"Scores of {names([str(leak['target'])])} may come from that column rather than from learning."
        for leak in table.get("leaks", [])
    ]


def difference(results: StudyResults, method: str, other: str) -> tuple[int, str] | None:
    """What test rows say about two methods: 1 or -1 where the first is better or worse, else 0, and in words.

    The words follow the direction in which the decision compares the two, because a change is relative to the second.

    Returns:
        None where nothing is known, or one seed cannot tell.
    """
    found, sign = results.decision.contrast(method, other), 1
    if found is None:
        found, sign = results.decision.contrast(other, method), -1
    if found is None or found.test.seeds < 2 or not math.isfinite(found.test.mean):
        return None
    first, second = (phrase(results.method(key)) for key in (found.method, found.against))
    if not found.test.excludes_zero:
        return 0, f"no difference was found between {first} and {second} (Δm {change(found.test, PERCENT)})"
    better = found.test.mean > 0
    return sign * (1 if better else -1), (
        f"{first} is {'better' if better else 'worse'} than {second} by {amount(found.test, PERCENT)}"
    )


def _leader(results: StudyResults) -> str:
    """Why the best method on validation rows is not the one recommended."""
    decision = results.decision
    if decision.leader == decision.chosen:
        return ""
    leader, chosen = results.method(decision.leader), results.method(decision.chosen)
    saving = cheaper(decision.costs, chosen.key, leader.key)
    several = max(len(results.served.get(key, ())) for key in (chosen.key, leader.key)) > 1
    close = "is within one standard error of it there and" if several else "does as well there and is"
    said = (
        f"{_capital(phrase(leader))} had the highest mean on validation rows; {phrase(chosen)} {close} "
        f"{f'cheaper to serve ({saving})' if saving else 'no more expensive to serve'}."
    )
    found = difference(results, chosen.key, leader.key)
    return f"{said} On test rows {found[1]}." if found else said


def _simpler(results: StudyResults) -> str:
    """How the recommended method does against plain sums, tuned and not: what anything else has to beat."""
    decision = results.decision
    known = {method.key for method in results.methods} - {decision.chosen, decision.leader}
    if not results.method(decision.chosen).shares:
        return ""
    found = [difference(results, decision.chosen, key) for key in (TUNED, UNIFORM) if key in known]
    said = [words for _, words in filter(None, found)]
    return f"On test rows {'; '.join(said)}." if said else ""


def _better_but_ruled_out(results: StudyResults) -> list[str]:
    decision, said = results.decision, []
    for key, why in decision.ruled_out.items():
        if key == BASELINE and decision.chosen == decision.sharing:  # the headline says it
            continue
        found = difference(results, decision.chosen, key)
        if found is not None and found[0] < 0:
            method = results.method(key)
            said.append(f"On test rows {found[1]}, but {phrase(method)} is ruled out: it {why}.")
    return said


def _dropped(plan: dict[str, Any]) -> str:
    dropped = [f"{each['what']} ({each['why']})" for each in plan.get("dropped", [])]
    return f"Not all that was planned was trained: {reasons(dropped)}." if dropped else ""


def _crashed(plan: dict[str, Any]) -> str:
    crashed = [str(each["title"]) for each in plan.get("crashed", [])]
    if not crashed:
        return ""
    count, it = plural(len(crashed), "training"), "it" if len(crashed) == 1 else "they"
    return f"{count} crashed, and what {it} would have shown is missing: {reasons(crashed)}."


def _reach(results: StudyResults) -> list[str]:
    """What the intervals cover."""
    decision = results.decision
    judged = decision.contrast(decision.sharing, BASELINE) if decision.sharing else None
    if judged is None:
        return []
    said = [
        (
            "Methods were chosen on validation rows; test rows took no part in it, so what they show is not flattered "
            "by the choice."
        )
    ]
    if judged.test.seeds > 1:
        said.append(
            f"Each {LEVEL} covers {judged.test.seeds} training seeds on one fixed split of the rows, not another "
            "split, and stands for one comparison: it is not adjusted for their number."
        )
    return said


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
