"""What a recipe shows, in sentences: which methods differ from each task alone and from the plain sum of losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.methods import UNIFORM, methods_of, tasks_of
from counterpoint.report.recipe_changes import changes_against
from counterpoint.report.recipe_reference import references
from counterpoint.report.verdict import Comparison, Outcome, outcomes
from counterpoint.report.wording import listing, plural
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.study.recipes.results import RecipeResults

REHEARSAL = (
    "This is a rehearsal: a few small generated images and a short training show that everything runs. "
    "Its numbers mean nothing."
)
_NONE_ALONE = "No task was trained alone, so this recipe cannot say whether sharing helps."
_NONE_SHARED = "No shared network was trained, so this recipe cannot say whether sharing helps."
_NO_SUM = "The plain sum of losses was not trained, so this recipe cannot say whether balancing helps."
_NONE_BALANCED = "No other weighting than the plain sum was trained, so this recipe cannot say whether balancing helps."
_ONE_SEED = (
    "One seed was trained, so nothing can be said about differences between methods: "
    "at least two seeds are needed, and three or more for useful intervals."
)


def recipe_verdict(results: RecipeResults) -> list[str]:
    r"""What the intervals over seeds support, and no more; nothing about a rehearsal or a single seed.

    Args:
        results: A finished recipe.

    Returns:
        Sentences of plain text.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.recipes.results import HISTORY, PICTURES, RecipeResults
        >>> facts = {"task": "depth", "metric": "error", "direction": "minimize", "main": True}
        >>> scores = pd.DataFrame([{"method": method, "label": method.upper(), "seed": seed, **facts,
        ...                         "value": value * (1 + seed / 999)}
        ...                        for method, value in [("single", 0.5), ("uniform", 0.4)] for seed in range(3)])
        >>> results = RecipeResults(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=PICTURES))
        >>> print("\n".join(recipe_verdict(results)).replace("\N{NO-BREAK SPACE}", " "))
        Compared with training each task alone, UNIFORM (+20.0 %, 95 % interval +20.0 to +20.0) did better.
        No other weighting than the plain sum was trained, so this recipe cannot say whether balancing helps.
    """
    if results.about.get("tiny"):
        return [REHEARSAL]
    methods = methods_of(results.scores)
    keys = [method.key for method in methods]
    shared = [key for key in keys if key != BASELINE]
    balanced = [key for key in shared if key != UNIFORM]
    if len(methods) > 1 and results.scores["seed"].nunique() < 2:
        return [_ONE_SEED, *failures(results)]
    if not shared:
        said = [_NONE_SHARED]
    elif BASELINE not in keys:
        said = [_NONE_ALONE]
    else:
        said = [_compared(results, "Compared with training each task alone", BASELINE)]
    own, *others = references(results)
    if own.trained and own.key not in {BASELINE, UNIFORM} and len(keys) > 1:
        said.append(_compared(results, f"Compared with {own.words}", own.key))
    if not balanced:
        said += [_NONE_BALANCED] * bool(shared)
    elif UNIFORM not in keys:
        said.append(_NO_SUM)
    else:
        plain_sum = [own, *others][-1]
        said.append(_compared(results, f"Compared with {plain_sum.words}", UNIFORM, leave_out=BASELINE))
    return said + failures(results)


def failures(results: RecipeResults) -> list[str]:
    """A sentence on trainings that gave no result, if there are any.

    Args:
        results: A finished recipe.
    """
    failed = results.about.get("failed") or []
    if not failed:
        return []
    ways = listing(list(dict.fromkeys(str(each.get("label")) for each in failed)))
    return [f"{plural(len(failed), 'training')} failed and {'is' if len(failed) == 1 else 'are'} left out ({ways})."]


def comparisons(results: RecipeResults, against: str) -> list[Comparison]:
    """Every other method compared with one, on average over tasks.

    Args:
        results: A finished recipe.
        against: Key of the method to compare with.
    """
    changes = changes_against(results.scores, against)
    return [changes.compare(method) for method in methods_of(results.scores) if method.key != against]


def _compared(results: RecipeResults, lead: str, against: str, leave_out: str = "") -> str:
    found = [comparison for comparison in comparisons(results, against) if comparison.method.key != leave_out]
    return outcomes(lead, found, len(tasks_of(results.scores)))


def task_sentence(found: list[Comparison], short: str = "alone") -> str:
    """What the methods did to one task, without figures, which the picture shows.

    Args:
        found: Comparisons with the reference.
        short: What that is, behind "better than".

    Example:
        >>> from counterpoint.report.methods import Method
        >>> a, b, c = (Comparison(Method(key, key.upper(), "#000000", "solid"), outcome, None, 1) for key, outcome in
        ...            [("a", Outcome.BETTER), ("b", Outcome.NO_DIFFERENCE), ("c", Outcome.BETTER)])
        >>> task_sentence([a, b, c])
        'Better than alone: A, C. No difference was found: B.'
    """
    words = {
        Outcome.BETTER: f"Better than {short}",
        Outcome.WORSE: f"Worse than {short}",
        Outcome.NO_DIFFERENCE: "No difference was found",
        Outcome.ONE_SEED: "One seed cannot tell",
        Outcome.UNPAIRED: "No seed in common",
        Outcome.UNDEFINED: "Undefined",
    }
    labels = {outcome: ", ".join(c.method.label for c in found if c.outcome is outcome) for outcome in Outcome}
    return " ".join(f"{words[outcome]}: {named}." for outcome, named in labels.items() if named)
