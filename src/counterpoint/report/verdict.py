"""What the numbers allow to say: one sentence on sharing, one on balancing, and no more than they support."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from counterpoint.estimate import Estimate
from counterpoint.report.methods import UNIFORM, Method, methods_of, tasks_of
from counterpoint.report.wording import NO_BREAK, listing, percent, signed
from counterpoint.study.summary import BASELINE, delta_m

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

LEVEL = f"95{NO_BREAK}% interval"


class Outcome(Enum):
    """What a comparison shows; the value is the phrase in which methods are listed."""

    BETTER = "{} did better"
    WORSE = "{} did worse"
    NO_DIFFERENCE = "no difference was found for {}"
    ONE_SEED = "one seed cannot tell for {}"
    UNPAIRED = "nothing can be said about {}, which has no seed in common"
    UNDEFINED = "nothing can be said about {}, where a score is not finite or a reference score is zero"


@dataclass(frozen=True)
class Comparison:
    """One method against a reference, paired by seed.

    Attributes:
        method: The method judged.
        outcome: What the 95 % interval supports.
        estimate: Mean relative change over tasks (Delta-m) in percent, positive is better; None if undefined.
        tasks: How many tasks the comparison rests on.
    """

    method: Method
    outcome: Outcome
    estimate: Estimate | None
    tasks: int


def compare(scores: pd.DataFrame, method: Method, reference: str = BASELINE) -> Comparison:
    """Compares a method with a reference over the seeds and tasks that both have.

    Args:
        scores: ``Results.scores``.
        method: The method to judge.
        reference: Key of the method to compare with.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", "ST", 0, "a", "maximize", 0.8), ("single", "ST", 1, "a", "maximize", 0.8),
        ...         ("mgda", "MGDA", 0, "a", "maximize", 0.88), ("mgda", "MGDA", 1, "a", "maximize", 0.881)]
        >>> scores = pd.DataFrame(rows, columns=["method", "label", "seed", "task", "direction", "value"])
        >>> compare(scores, methods_of(scores)[1]).outcome.name
        'BETTER'
    """
    own = scores[scores["method"] == method.key]
    theirs = scores[scores["method"] == reference]
    common = set(zip(own["seed"], own["task"], strict=True)) & set(zip(theirs["seed"], theirs["task"], strict=True))
    tasks = len({task for _, task in common})
    if not common:
        return Comparison(method, Outcome.UNPAIRED, None, 0)
    estimate = Estimate.of(list(delta_m(scores, method.key, reference).values()))
    outcome = judge(estimate)
    return Comparison(method, outcome, None if outcome is Outcome.UNDEFINED else estimate, tasks)


def judge(change: Estimate) -> Outcome:
    """What the 95 % interval of a change supports, where a positive change is better.

    Example:
        >>> [judge(Estimate.of(seeds)).name for seeds in ([1.0, 1.1, 0.9], [1.0, -1.1, 0.9], [9.0])]
        ['BETTER', 'NO_DIFFERENCE', 'ONE_SEED']
    """
    if not math.isfinite(change.mean):
        return Outcome.UNDEFINED
    if change.seeds < 2:
        return Outcome.ONE_SEED
    if not change.excludes_zero:
        return Outcome.NO_DIFFERENCE
    return Outcome.BETTER if change.mean > 0 else Outcome.WORSE


def verdict(scores: pd.DataFrame) -> tuple[str, str]:
    r"""The study's verdict: whether sharing helped, and whether balancing the tasks helped.

    Every method is named with its mean relative change over tasks and the 95 % interval over seeds; none is
    singled out.

    Args:
        scores: ``Results.scores``.

    Returns:
        Two sentences of plain text.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", "Single-task", 0, "a", "maximize", 0.8),
        ...         ("uniform", "Uniform", 0, "a", "maximize", 0.88)]
        >>> scores = pd.DataFrame(rows, columns=["method", "label", "seed", "task", "direction", "value"])
        >>> print("\n".join(verdict(scores)).replace("\N{NO-BREAK SPACE}", " "))
        Compared with training each task alone, one seed cannot tell for Uniform (+10.0 %).
        No balanced weighting was run, so this study cannot say whether balancing helps.
    """
    return _sharing(scores), _balancing(scores)


def _sharing(scores: pd.DataFrame) -> str:
    methods = methods_of(scores)
    shared = [method for method in methods if method.key != BASELINE]
    if not shared:
        return "No shared network was trained, so this study cannot say whether sharing helps."
    if len(shared) == len(methods):
        return "No task was trained alone, so this study cannot say whether sharing helps."
    return _sentence("Compared with training each task alone", scores, shared, BASELINE)


def _balancing(scores: pd.DataFrame) -> str:
    methods = methods_of(scores)
    balanced = [method for method in methods if method.key not in (BASELINE, UNIFORM)]
    if not balanced:
        return "No balanced weighting was run, so this study cannot say whether balancing helps."
    if all(method.key != UNIFORM for method in methods):
        return "No run with uniform weights was made, so this study cannot say whether balancing helps."
    return _sentence("Compared with uniform weights", scores, balanced, UNIFORM)


def _sentence(lead: str, scores: pd.DataFrame, methods: list[Method], reference: str) -> str:
    return outcomes(lead, [compare(scores, method, reference) for method in methods], len(tasks_of(scores)))


def outcomes(lead: str, comparisons: Sequence[Comparison], total: int) -> str:
    r"""One sentence on several comparisons, those with the same outcome together.

    Args:
        lead: What the methods are compared with, as the sentence begins.
        comparisons: At least one.
        total: How many tasks there are.

    Example:
        >>> found = Comparison(Method("m", "MGDA-UB", "#c84e00", "solid"), Outcome.BETTER, Estimate(2, 1, 3, 0.4, 3), 2)
        >>> outcomes("Compared with each task alone", [found], 2).replace("\N{NO-BREAK SPACE}", " ")
        'Compared with each task alone, MGDA-UB (+2.0 %, 95 % interval +1.0 to +3.0) did better.'
    """
    clauses = []
    for outcome in Outcome:
        named = [_named(c, total) for c in comparisons if c.outcome is outcome]
        if named:
            clauses.append(outcome.value.format(listing(named)))
    return f"{lead}, {'; '.join(clauses)}."


def _named(comparison: Comparison, total: int) -> str:
    facts = []
    if comparison.estimate is not None:
        facts.append(percent(comparison.estimate.mean))
        if comparison.estimate.seeds > 1:
            facts.append(f"{LEVEL} {interval(comparison.estimate)}")
    if 0 < comparison.tasks < total:
        facts.append(f"on {comparison.tasks} of {total} tasks")
    return f"{comparison.method.label} ({', '.join(facts)})" if facts else comparison.method.label


def interval(estimate: Estimate) -> str:
    """The 95 % interval, with as many decimals as keep an end that is not zero from reading as zero.

    Example:
        >>> interval(Estimate(mean=1.0, low=0.02, high=1.98, spread=0.1, seeds=2))
        '+0.02 to +1.98'
    """
    ends = (estimate.low, estimate.high)
    decimals = next((d for d in (1, 2, 3) if all(abs(end) >= 0.5 * 10**-d for end in ends)), 1)
    return f"{signed(ends[0], decimals)} to {signed(ends[1], decimals)}"
