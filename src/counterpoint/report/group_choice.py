"""Which tasks to train together: chosen on validation data, judged on test data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.estimate import Estimate
from counterpoint.report.group_methods import TAG, TOGETHER, as_loss, change, complete_scores, method_rows
from counterpoint.report.memberships import groups_of
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from counterpoint.report.group_methods import GroupMethod
    from counterpoint.study.group_results import Candidate, GroupResults


@dataclass(frozen=True)
class Change:
    """How one method does against another on test data, percent, positive is better; None where undefined.

    Attributes:
        delta: Delta-m of the metric.
        reduction: By how much losses are lower, mean over tasks.
    """

    delta: Estimate | None
    reduction: Estimate | None

    @property
    def finds_difference(self) -> bool:
        """Whether either 95 % interval excludes zero."""
        return any(part is not None and part.excludes_zero for part in (self.delta, self.reduction))


@dataclass(frozen=True)
class Choice:
    """What validation losses favour.

    Attributes:
        method: The method with the lowest validation losses against each task alone.
        validation: By how much lower they are, percent; 0 with a single seed's interval for each task alone.
        grouping: The same among task-affinity groupings alone, to be shown in detail; None where none was trained.
        alone: The method against each task alone on test data; None if it is that.
        together: The method against all tasks together on test data; None if it is that, or that was not trained.
        cheaper: The method with the fewest networks, fewer than the chosen, from which neither validation nor test
            data tell it apart; None where there is none.
        excluded: References that were no option, because they break the study's rules.
        within: Where each task alone is chosen: the best of the options with fewer networks, and how its validation
            losses compare; else None.
    """

    method: GroupMethod
    validation: Estimate
    grouping: GroupMethod | None
    alone: Change | None
    together: Change | None
    cheaper: GroupMethod | None
    excluded: tuple[GroupMethod, ...] = ()
    within: tuple[Estimate, GroupMethod] | None = None


def choose(methods: Sequence[GroupMethod], scores: pd.DataFrame) -> Choice | None:
    """Chooses among each task alone, all together, and the task-affinity groupings, on validation losses.

    The criterion is the mean over tasks of the relative change against each task alone, averaged over seeds.
    References that break the study's rules are no options. The choice never sees test data, so what test data say
    about it is not flattered by having been chosen.

    Args:
        methods: The study's methods.
        scores: The scores that they come from.

    Returns:
        The choice, or None where no task was trained alone: there is nothing to compare with.
    """
    options = [method for method in methods if method.family in {BASELINE, TOGETHER, TAG}]
    alone = next((method for method in options if method.family == BASELINE), None)
    if alone is None:
        return None
    nothing = Estimate(0.0, 0.0, 0.0, 0.0, alone.seconds.seeds)
    # Methods that lack a seed are compared on other seeds than the rest, so they are not among the options.
    rated = [(method.validation, method) for method in options if method.validation is not None]
    rated = [(gain, method) for gain, method in rated if gain.seeds == nothing.seeds]
    rated.append((nothing, alone))
    # A reference may break the rules; where nothing else is left, it is still what there is to tell about.
    rated = [(gain, method) for gain, method in rated if method.follows_rules] or rated
    validation, chosen = max(rated, key=lambda pair: (pair[0].mean, -pair[1].networks[1], pair[1].family == TOGETHER))
    tags = [(gain.mean, -method.size, method) for gain, method in rated if method.family == TAG]
    joint = next((method for method in options if method.family == TOGETHER), None)
    within = [pair for pair in rated if pair[1] is not alone]
    return Choice(
        method=chosen,
        validation=validation,
        grouping=max(tags, key=lambda tag: tag[:2])[2] if tags else None,
        alone=on_test(scores, chosen, alone) if chosen is not alone else None,
        together=on_test(scores, chosen, joint) if joint is not None and chosen is not joint else None,
        cheaper=_cheaper([method for _, method in rated], chosen, scores),
        excluded=tuple(method for method in options if not method.follows_rules and method is not chosen),
        within=max(within, key=lambda pair: (pair[0].mean, -pair[1].size)) if chosen is alone and within else None,
    )


def chosen_candidate(results: GroupResults) -> Candidate | None:
    """The grouping that the verdict is about: the choice's, or the largest one where no network was trained.

    Where seeds led to different groupings, it is the one that most seeds led to. None where there is nothing to
    choose from.
    """
    scores, groups = complete_scores(results), groups_of(results)
    choice = choose(method_rows(results, scores), scores)
    if choice is None or choice.method.family == TAG:
        size = choice.method.size if choice else max(groups, default=None)
        return groups[size][0].candidate if size is not None else None
    return next(candidate for candidate in results.candidates if candidate.family == choice.method.family)


def on_test(scores: pd.DataFrame, method: GroupMethod, reference: GroupMethod) -> Change:
    """How a method does against another on test data, paired by seed."""
    key = reference.keys[0]
    return Change(change(scores, method.keys, key), change(as_loss(scores), method.keys, key))


def _cheaper(options: list[GroupMethod], chosen: GroupMethod, scores: pd.DataFrame) -> GroupMethod | None:
    losses = as_loss(scores, "validation_loss")
    fewer = [option for option in options if option.networks[1] < chosen.networks[0]]
    for option in sorted(fewer, key=lambda option: (option.networks[1], option.family != TOGETHER)):
        validation = change(losses, chosen.keys, option.keys[0])
        if validation and not validation.excludes_zero and not on_test(scores, chosen, option).finds_difference:
            return option
    return None
