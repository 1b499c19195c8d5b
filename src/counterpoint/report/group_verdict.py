"""The verdict of a grouping study in sentences: which networks to train, and what test data say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.group_choice import choose
from counterpoint.report.group_methods import TAG, TOGETHER, complete_scores, method_rows
from counterpoint.report.memberships import groups_of
from counterpoint.report.verdict import LEVEL, Outcome, interval, judge
from counterpoint.report.wording import listing, percent, plural
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.estimate import Estimate
    from counterpoint.report.group_choice import Change, Choice
    from counterpoint.report.group_methods import GroupMethod
    from counterpoint.report.memberships import Groups
    from counterpoint.study.group_results import GroupResults

# Longer lists of networks are not read in a sentence; the page shows them as a table.
_MAX_TASKS = 24
_SAID = {
    Outcome.BETTER: "better in {}",
    Outcome.WORSE: "worse in {}",
    Outcome.NO_DIFFERENCE: "no difference was found in {}",
    Outcome.ONE_SEED: "one seed cannot tell about {}",
}


def group_verdict(results: GroupResults) -> tuple[str, ...]:
    r"""What to train, and what test data say about it, claiming no more than the 95 % intervals support.

    The method is chosen among each task alone, all together, and the task-affinity groupings, by its validation
    losses; test data only judge it.

    Args:
        results: A grouping study, or only the groupings of a given affinity.

    Returns:
        Sentences of plain text.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.affinity import Affinity
        >>> from counterpoint.grouping import Network
        >>> from counterpoint.study.group_results import NETWORKS, Candidate, GroupResults
        >>> candidate = Candidate("tag", 1, (Network(("a", "b"), ("a", "b")),), score=0.2, bound=0.2)
        >>> affinity = Affinity([[0, 0.1], [0.3, 0]], ("a", "b"))
        >>> solved = GroupResults(pd.DataFrame(columns=NETWORKS), (candidate,), affinity)
        >>> print(*group_verdict(solved), sep="\n")
        One network serves a and b.
        Predicted score 0.2. Proven: no grouping with at most 1 network scores more.
        No network was trained, so the scores are predictions: measured results may differ.
    """
    scores = complete_scores(results)
    groups = groups_of(results)
    if scores.empty:
        return _solved(groups)
    choice = choose(method_rows(results, scores), scores)
    if choice is None:
        return ("No task was trained alone, so this study cannot say whether grouping helps.", *_proofs(groups))
    return trained_verdict(choice, groups)


def trained_verdict(choice: Choice, groups: dict[int, list[Groups]]) -> tuple[str, ...]:
    """The verdict where networks were trained."""
    sentences = [_chosen(choice)]
    if choice.method.family == TAG:
        sentences += _networks(groups[choice.method.size])
    if choice.within:
        validation, best = choice.within
        sentences.append(
            f"That is {plural(choice.method.networks[1], 'network')} to serve. If that is too many, {phrase(best)} did "
            f"best on validation data (losses reduced by {figures(validation)})."
        )
        if best.family == TAG:
            sentences += _networks(groups[best.size])
    if choice.alone:
        said = _judged(choice.alone) + _price(choice.alone, choice.method)
        sentences.append(f"On test data, compared with each task alone: {said}.")
    if choice.together:
        lead = "Compared" if choice.alone else "On test data, compared"
        said = _judged(choice.together)
        allowed = TOGETHER not in {method.family for method in choice.excluded}
        named = choice.cheaper is not None and choice.cheaper.family == TOGETHER
        if allowed and not named and not choice.together.finds_difference:
            said += "; one network is cheaper to serve"
        sentences.append(f"{lead} with all tasks together: {said}.")
    if choice.cheaper:
        name = phrase(choice.cheaper)
        found = (
            f"Neither validation nor test data show a difference between this and {name}"
            if choice.validation.seeds > 1
            else f"One seed cannot tell it from {name}"
        )
        sentences.append(f"{found}; fewer networks are cheaper to serve, and more seeds may tell them apart.")
    for method in choice.excluded:
        sentences.append(f"The rules given forbid {phrase(method)}: it was trained for comparison only.")
    return tuple(sentences)


def phrase(method: GroupMethod) -> str:
    """A method in the middle of a sentence."""
    if method.family == BASELINE:
        return "each task alone"
    if method.family == TOGETHER:
        return "all tasks together in one network"
    low, high = method.networks
    count = plural(low, "network") if low == high else f"{low} to {high} networks"
    return f"{count} grouped by task affinity"


def _chosen(choice: Choice) -> str:
    favoured = f"Validation losses favour {phrase(choice.method)}"
    if choice.method.family == BASELINE:
        return f"{favoured}: no other option had lower ones."
    return f"{favoured} (reduced by {figures(choice.validation)}, against each task alone)."


def _networks(same_size: list[Groups]) -> list[str]:
    shown, *others = same_size
    tasks = sum(len(network.serves) for network in shown.networks)
    sentences = [_listed(shown)] if tasks <= _MAX_TASKS else []
    if others:
        seeds = listing([str(seed) for seed in shown.seeds])
        first = f"; this one is of seed{'s' * (len(shown.seeds) != 1)} {seeds}" if sentences else ""
        sentences.append(
            f"The seeds led to {len(same_size)} different groupings{first}. What follows is about the method, "
            "not about one of them."
        )
    return sentences


def _listed(groups: Groups) -> str:
    if len(groups.networks) == 1:
        return f"One network {groups.sentences[0]}."
    said = "; ".join(f"({number}) {sentence}" for number, sentence in enumerate(groups.sentences, 1))
    return f"The networks: {said}."


def _judged(change: Change) -> str:
    clauses: dict[Outcome, list[str]] = {}
    for estimate, name in ((change.delta, "the metric (Δm {})"), (change.reduction, "loss (reduced by {})")):
        if estimate is not None:
            clauses.setdefault(judge(estimate), []).append(name.format(figures(estimate)))
    said = [_SAID[outcome].format(listing(names)) for outcome, names in clauses.items()]
    return "; ".join(said) if said else "nothing can be said, because a score is not finite or a reference is zero"


def _price(change: Change, method: GroupMethod) -> str:
    if change.finds_difference:
        return ""
    verb = "network is" if method.networks[1] == 1 else "networks are"
    return f"; {method.networks[1]} {verb} cheaper to serve than one for each task"


def figures(change: Estimate) -> str:
    """A change with its interval, where there is one."""
    return percent(change.mean) + (f", {LEVEL} {interval(change)}" if change.seeds > 1 else "")


def _solved(groups: dict[int, list[Groups]]) -> tuple[str, ...]:
    if not groups:
        return ("No grouping was searched and no network was trained.",)
    largest = groups[max(groups)]
    return (
        *_networks(largest),
        *_proofs(groups),
        "No network was trained, so the scores are predictions: measured results may differ.",
    )


def _proofs(groups: dict[int, list[Groups]]) -> tuple[str, ...]:
    return tuple(filter(None, (groups[max(groups)][0].proof,))) if groups else ()
