"""How the sentences on a study name its methods, what they cost, and how large a change is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.grouping.result import Network
from counterpoint.report.explain_sentences import some
from counterpoint.report.explain_units import Unit
from counterpoint.report.figures import short
from counterpoint.report.memberships import describe
from counterpoint.report.wording import plural
from counterpoint.study.methods import TUNED, UNIFORM, Method
from counterpoint.study.plan import label_of
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from counterpoint.study.decision import Cost

PERCENT = Unit(1.0, "%", 1)
# Longer lists of networks, and longer names, are not read in a sentence; the page's tables hold them.
_MAX_TASKS, _MAX_NAMES, _MAX_LETTERS = 24, 6, 40


def phrase(method: Method) -> str:
    """A method in the middle of a sentence.

    Example:
        >>> phrase(Method.alone("ab")), phrase(Method.of_all("mgda", "ab")), phrase(Method.tuned({"a": 2.0, "b": 1.0}))
        ('each task alone', 'MGDA-UB', 'tuning the loss scales')
    """
    named = {BASELINE: "each task alone", TUNED: "tuning the loss scales"}
    if method.key in named:
        return named[method.key]
    # A label such as "2 groups" is no subject of a sentence about one method.
    return method.label if method.predicted is None else f"training in {method.label}"


def names(tasks: Iterable[str]) -> str:
    """A few names in a sentence, each cut to a readable length.

    Example:
        >>> names(["price", "c" * 50])
        'price and ccccccccccccccccccccccccccccccccccccccc…'
    """
    return some([short(task, _MAX_LETTERS) for task in tasks], _MAX_NAMES)


def recommendation(method: Method) -> str:
    """What to do, in a sentence.

    Example:
        >>> recommendation(Method.of_all("mgda", ("price", "cut")))
        'Train both tasks together in one network (price and cut), balanced by MGDA-UB.'
        >>> recommendation(Method.alone(("price", "cut")))
        'Train them separately: one network for each of the 2 tasks.'
    """
    tasks = [task for network in method.networks for task in network.serves]
    if not method.shares:
        if len(tasks) == 1:
            return f"Train {names(tasks)} in a network of its own."
        return f"Train them separately: one network for each of the {len(tasks)} tasks."
    if len(method.networks) == 1:
        count = "both tasks" if len(tasks) == 2 else f"all {len(tasks)} tasks"
        return f"Train {count} together in one network ({names(tasks)}), {weighting(method)}."
    lead = f"Train {plural(len(method.networks), 'network')}, {weighting(method)}"
    if len(tasks) > _MAX_TASKS:
        return f"{lead}; the report lists their tasks."
    said = [f"({number}) {describe(_shortened(network))}" for number, network in enumerate(method.networks, 1)]
    return f"{lead}: {'; '.join(said)}."


def weighting(method: Method) -> str:
    """How the tasks of a network are balanced.

    Example:
        >>> weighting(Method.tuned({"price": 2.0, "cut": 0.5}))
        'with tuned loss scales (2 for price and 0.5 for cut)'
    """
    if method.scales:
        scaled = [f"{scale:.3g} for {short(task, _MAX_LETTERS)}" for task, scale in method.scales]
        return f"with tuned loss scales ({some(scaled, _MAX_NAMES)})"
    return "with equal weights" if method.weighting == UNIFORM else f"balanced by {label_of(method.weighting)}"


def cheaper(costs: Mapping[str, Cost], method: str, other: str) -> str:
    """Why a method is cheaper to serve than another, or nothing where it is not.

    Example:
        >>> from counterpoint.study.decision import Cost
        >>> costs = {"single": Cost(3, 30.0, 30.0, 9.0), "uniform": Cost(1, 14.0, 14.0, 5.0)}
        >>> cheaper(costs, "uniform", "single"), cheaper(costs, "single", "uniform")
        ('1 network instead of 3', '')
    """
    if method not in costs or other not in costs:
        return ""
    one, two = costs[method], costs[other]
    # In the order in which the decision weighs them.
    compared = [
        (one.networks, two.networks, f"{plural(one.networks, 'network')} instead of {two.networks}"),
        (
            one.multiply_adds,
            two.multiply_adds,
            f"{one.multiply_adds:,.0f} multiply-adds a row instead of {two.multiply_adds:,.0f}",
        ),
        (one.search_seconds > 0, two.search_seconds > 0, "it needs no search"),
        (one.parameters, two.parameters, f"{one.parameters:,.0f} parameters instead of {two.parameters:,.0f}"),
    ]
    for mine, theirs, said in compared:
        if mine != theirs:
            return said if mine < theirs else ""
    return ""


def _shortened(network: Network) -> Network:
    tasks, serves = (tuple(short(task, _MAX_LETTERS) for task in part) for part in (network.tasks, network.serves))
    return Network(tasks, serves)


def reasons(found: Sequence[str], most: int = 3) -> str:
    """A few clauses, and how many more there are.

    Example:
        >>> reasons(["a crashed", "b crashed"]), reasons(list("abcde"))
        ('a crashed; b crashed', 'a; b; c; and 2 more')
    """
    more = [f"and {len(found) - most} more"] if len(found) > most else []
    return "; ".join([*found[:most], *more])
