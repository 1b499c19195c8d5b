"""The verdict of a study in sentences: what to train together, and what test rows say about it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from counterpoint.report.explain_sentences import outcomes_sentence
from counterpoint.report.explain_units import amount, change
from counterpoint.report.figures import short
from counterpoint.report.study_remarks import remarks
from counterpoint.report.study_words import PERCENT, cheaper, phrase, recommendation
from counterpoint.report.verdict import Outcome, judge
from counterpoint.report.wording import listing, percent
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.study.decision import Contrast
    from counterpoint.study.study_results import StudyResults


def study_verdict(results: StudyResults) -> list[str]:
    r"""What to train, what test rows say about it, and what to keep in mind, claiming no more than intervals support.

    Args:
        results: A finished study.

    Returns:
        Sentences of plain text.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.decision import Cost, decide
        >>> from counterpoint.study.methods import Method
        >>> from counterpoint.study.study_results import RUN_HISTORY, RUNS, StudyResults, scores_of
        >>> rows = [(f"{key} {seed}", seed, task, "AUROC", "maximize", 1.0, value + seed / 999, 0.1, value, 0.1, 9.0,
        ...          90, 80, 5, 4)
        ...     for key, value in (("a", 0.8), ("b", 0.8), ("ab", 0.88)) for seed in (0, 1) for task in key]
        >>> runs, methods = pd.DataFrame(rows, columns=RUNS), (Method.alone("ab"), Method.of_all("mgda", "ab"))
        >>> served = {"single": {s: (f"a {s}", f"b {s}") for s in (0, 1)}, "mgda": {s: (f"ab {s}",) for s in (0, 1)}}
        >>> validation, test = (scores_of(runs, methods, served, split) for split in ("validation", "test"))
        >>> costs = {"single": Cost(2, 180, 160, 18.0), "mgda": Cost(1, 90, 80, 9.0)}
        >>> decision = decide(methods, validation, test, costs)
        >>> study = StudyResults(runs, pd.DataFrame(columns=RUN_HISTORY), methods, served, decision)
        >>> train, gain, *_ = study_verdict(study)
        >>> train
        'Train both tasks together in one network (a and b), balanced by MGDA-UB.'
        >>> gain.partition(" (95")[0].replace("\N{NO-BREAK SPACE}", " ")
        'On test rows it is better than each task alone by 10.0 %'
    """
    return [*headline(results), *remarks(results)]


def headline(results: StudyResults) -> list[str]:
    """What to train and what test rows say about it: the verdict without what qualifies it."""
    decision = results.decision
    judged = decision.contrast(decision.sharing, BASELINE) if decision.sharing else None
    if judged is None:
        return _nothing_to_compare(results)
    made = {"share": _share, "separate": _separate, "no difference": _no_difference, "undecided": _undecided}
    return made[decision.verdict](results, judged)


def _share(results: StudyResults, judged: Contrast) -> list[str]:
    better = f"On test rows it is better than each task alone by {amount(judged.test, PERCENT)}"
    return [recommendation(results.method(results.decision.chosen)), f"{better}{_over(judged)}."]


def _separate(results: StudyResults, judged: Contrast) -> list[str]:
    decision, method = results.decision, results.method(judged.method)
    worse = f"worse than each task alone by {amount(judged.test, PERCENT)}{_over(judged)}"
    if not results.method(decision.chosen).shares:
        chosen = recommendation(results.method(decision.chosen))
        return [chosen, f"On test rows {phrase(method)}{_rank(results, judged)} is {worse}."]
    if BASELINE in decision.ruled_out:
        limit = f"Each task alone is ruled out: it {decision.ruled_out[BASELINE]}."
        return [recommendation(method), f"{limit} On test rows {phrase(method)} is {worse}."]
    said = [
        "Train them separately: test rows contradict what was chosen on validation rows.",
        f"There {phrase(method)} was chosen; on test rows it is {worse}.",
    ]
    if results.about.get("bundle"):
        said.append(f"The bundle holds {phrase(method)}: what was chosen is not exchanged because of test rows.")
    return said


def _no_difference(results: StudyResults, judged: Contrast) -> list[str]:
    decision, method = results.decision, results.method(judged.method)
    chosen = results.method(decision.chosen)
    said = [
        (
            f"No detectable difference: test rows do not tell {phrase(method)} and each task alone apart "
            f"(Δm {change(judged.test, PERCENT)}{_over(judged)})."
        )
    ]
    if not chosen.shares and decision.leader == chosen.key:
        why = (
            f"On validation rows no allowed method had a higher mean than {phrase(chosen)}, and none that is cheaper "
            "to serve came within one standard error of it"
        )
    elif BASELINE in decision.ruled_out:
        why = f"Each task alone is ruled out: it {decision.ruled_out[BASELINE]}"
    elif saving := cheaper(decision.costs, chosen.key, BASELINE):
        why = f"So the cheaper one is recommended: {saving}"
    else:
        why = f"Recommended is {phrase(chosen)}, which was chosen on validation rows"
    return [*said, f"{why}. {recommendation(chosen)}"]


def _undecided(results: StudyResults, judged: Contrast) -> list[str]:
    method, chosen = results.method(judged.method), results.method(results.decision.chosen)
    outcome = judge(judged.test)
    if outcome is Outcome.UNDEFINED:
        why = "a score is not finite, or a task scored zero alone, so the relative change on test rows is undefined"
        return [f"Undecided: {why}.", f"{_until(results)} {recommendation(chosen)}"]
    if outcome is Outcome.ONE_SEED:
        figures = [
            f"{percent(estimate.mean)} on {split} rows"
            for estimate, split in ((judged.test, "test"), (judged.validation, "validation"))
            if math.isfinite(estimate.mean)
        ]
        return [
            f"Undecided: one seed cannot tell {phrase(method)} and each task alone apart; at least two are needed.",
            f"In that seed Δm is {listing(figures)}, without an interval to judge by.",
            f"{_until(results)} {recommendation(chosen)}",
        ]
    return [
        f"Undecided: validation rows led to {phrase(chosen)}, but test rows speak for {phrase(method)}.",
        (
            f"On test rows {phrase(method)} is better than each task alone by {amount(judged.test, PERCENT)}"
            f"{_over(judged)}. More seeds may settle it."
        ),
    ]


def _nothing_to_compare(results: StudyResults) -> list[str]:
    keys = {method.key for method in results.methods}
    chosen = results.method(results.decision.chosen)
    if len(results.tasks) == 1:
        why = "there is one task, and nothing to share"
    elif BASELINE not in keys:
        why = "no task was trained alone, so this study cannot say whether sharing helps"
    elif keys == {BASELINE}:
        why = "no shared network was trained, so this study cannot say whether sharing helps"
    else:
        why = "the tasks alone and the shared networks have no seed in common, so nothing can be compared"
    return [f"Undecided: {why}.", f"{_until(results)} {recommendation(chosen)}"]


def _until(results: StudyResults) -> str:
    bundle = "what the bundle holds" if results.about.get("bundle") else "what was taken"
    return f"This is {bundle}, without proof that it is better:"


def _rank(results: StudyResults, judged: Contrast) -> str:
    others = [c.validation.mean for c in results.decision.contrasts if c.against == BASELINE]
    own = judged.validation.mean
    best = math.isfinite(own) and all(not mean > own for mean in others)
    return ", of the ways of sharing the best on validation rows," if best and len(others) > 1 else ""


def _over(judged: Contrast) -> str:
    """Over which tasks the mean is, and how each of them did."""
    by_outcome: dict[Outcome, list[str]] = {}
    for task, estimate in judged.tasks.items():
        by_outcome.setdefault(judge(estimate), []).append(short(task, 40))
    gained, lost, unclear = (
        by_outcome.get(outcome, []) for outcome in (Outcome.BETTER, Outcome.WORSE, Outcome.NO_DIFFERENCE)
    )
    apart = by_outcome.get(Outcome.UNDEFINED, []) + by_outcome.get(Outcome.ONE_SEED, [])
    counted = outcomes_sentence(gained, lost, unclear, apart)
    return f", on average over tasks; {counted}" if len(judged.tasks) > 1 else ""
