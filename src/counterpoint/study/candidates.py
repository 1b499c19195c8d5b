"""What a study compares besides each task alone and all together: weightings, loss scales, groupings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.grouping import group_tasks
from counterpoint.study.loss_scales import candidate_scales
from counterpoint.study.methods import TUNED, UNIFORM, Method
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from counterpoint.affinity import Affinity

_TRIAL = f"{TUNED}-"


def weightings(names: Sequence[str], tasks: Sequence[str]) -> list[Method]:
    """All tasks in one network, once for each weighting."""
    return [Method.of_all(name, tasks) for name in names if name != UNIFORM]


def trials(tasks: Sequence[str], count: int) -> list[Method]:
    """All tasks in one network, once for each vector of loss scales to try."""
    found = []
    for number, scales in enumerate(candidate_scales(tasks, count), 1):
        whole = Method.tuned(scales)
        words = ", ".join(f"{scale:.2g}" for scale in scales.values())
        label = f"Loss scales {words}" if len(scales) < 6 else f"Loss scales, trial {number}"
        found.append(Method(f"{_TRIAL}{number}", label, whole.networks, UNIFORM, whole.scales))
    return found


def is_trial(method: Method) -> bool:
    """Whether a method is one of the loss scales to try."""
    return method.key.startswith(_TRIAL)


def groupings(affinity: Affinity, most: int) -> list[Method]:
    """The best grouping for each number of networks from 2 on, those that differ.

    Args:
        affinity: What was measured in the joint training.
        most: The most networks.

    Example:
        >>> from counterpoint import Affinity
        >>> values = [[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 1], [-1, -1, 1, 0]]
        >>> [method.label for method in groupings(Affinity(values, ("a", "b", "c", "d")), 3)]
        ['2 groups']
    """
    tasks = affinity.tasks
    seen = {_served(Method.alone(tasks)), _served(Method.of_all(UNIFORM, tasks))}
    found = []
    for size in range(2, min(most, len(tasks) - 1) + 1):
        grouping = group_tasks(affinity, networks=size)
        method = Method(
            f"groups-{size}",
            f"{len(grouping.networks)} groups",
            tuple(grouping.networks),
            predicted=grouping.score,
            proven=grouping.status == "optimal",
        )
        if _served(method) not in seen:
            seen.add(_served(method))
            found.append(method)
    return found


def _served(method: Method) -> frozenset[tuple[frozenset[str], frozenset[str]]]:
    return frozenset((frozenset(network.tasks), frozenset(network.serves)) for network in method.networks)


def in_turn(*families: Sequence[Method]) -> list[Method]:
    """The first of each family, then the second of each: what is dropped for want of time comes from the ends.

    Example:
        >>> [method.key for method in in_turn(weightings(["mgda", "dibs"], "ab"), trials(["a", "b"], 1))]
        ['mgda', 'tuned-1', 'dibs']
    """

    def turns() -> Iterator[Method]:
        for place in range(max((len(family) for family in families), default=0)):
            yield from (family[place] for family in families if place < len(family))

    return list(turns())


def ranked(methods: Sequence[Method], validation: Mapping[str, float]) -> list[Method]:
    """The best on validation rows first; those without a score keep their order behind them."""
    missing = float("-inf")
    return sorted(methods, key=lambda method: -validation.get(method.key, missing))


def references(tasks: Sequence[str]) -> list[Method]:
    """What everything is compared with: each task alone, all together."""
    return [Method.alone(tasks), Method.of_all(UNIFORM, tasks)]


__all__ = [
    "BASELINE",
    "groupings",
    "in_turn",
    "is_trial",
    "ranked",
    "references",
    "trials",
    "weightings",
]
