"""What each method of grouping proposes, from what had to be trained for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.grouping import Network, group_tasks
from counterpoint.study.group_results import Candidate
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from counterpoint.affinity import Affinity

# Sets of tasks whose networks had to be trained, with the seconds for one seed.
Search = Mapping[frozenset[str], float]

# Draws that break a rule are drawn again; past this many the rules leave next to nothing to draw from.
_DRAWS = 10_000


@dataclass(frozen=True)
class GroupingRules:
    """What a grouping has to respect. See :func:`~counterpoint.group_tasks`.

    Attributes:
        serve: Tasks to be served; all of them if empty.
        singletons: Whether a network of one task is allowed.
        largest: Largest number of tasks in a network.
        apart: Pairs that must not share a network.
        time_limit: Seconds for one search.
    """

    serve: tuple[str, ...] = ()
    singletons: Literal["neutral", "forbid"] = "neutral"
    largest: int | None = None
    apart: tuple[tuple[str, str], ...] = ()
    time_limit: float = 60.0

    def served(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """The tasks to be served, in the order of ``tasks``."""
        return tuple(task for task in tasks if not self.serve or task in self.serve)

    def allows(self, group: Sequence[str]) -> bool:
        """Whether these tasks may form a network."""
        fits = self.largest is None or len(group) <= self.largest
        return fits and (len(group) > 1 or self.singletons == "neutral") and not self._parts(group)

    def _parts(self, group: Sequence[str]) -> bool:
        return any(a in group and b in group for a, b in self.apart)


def alone(tasks: Sequence[str], rules: GroupingRules) -> Candidate:
    """Each served task by itself, whatever the rules say of single tasks: the reference."""
    served = rules.served(tasks)
    networks = tuple(Network((task,), (task,)) for task in served)
    return Candidate(BASELINE, len(served), networks, follows_rules=all(rules.allows((task,)) for task in served))


def together(tasks: Sequence[str], rules: GroupingRules) -> Candidate:
    """One network for everything, whatever the rules say of its size and of pairs: the other reference."""
    networks = (Network(tuple(tasks), rules.served(tasks)),)
    return Candidate("together", 1, networks, follows_rules=rules.allows(tasks))


def from_affinity(
    family: str, affinity: Affinity, size: int, rules: GroupingRules, *, search: Search, seed: int | None
) -> Candidate:
    """The best grouping for a matrix of predicted gains.

    Args:
        family: Who predicts.
        affinity: [T, T]; row = the task that helps, column = the task that is helped.
        size: The most networks.
        rules: What to respect.
        search: What had to be trained for it, and how long that took. A network of the grouping that is among it need
            not be trained again.
        seed: The seed that it is for, or ``None`` for all.
    """
    found = group_tasks(
        affinity,
        size,
        serve=rules.serve or None,
        singletons=rules.singletons,
        largest=rules.largest,
        apart=rules.apart,
        time_limit=rules.time_limit,
    )
    return Candidate(
        family,
        size,
        found.networks,
        seed,
        score=found.score,
        bound=found.bound,
        status=found.status,
        search_seconds=found.seconds + _beyond(search, found.networks),
    )


def for_every_size(
    family: str,
    affinity: Affinity,
    sizes: Sequence[int],
    rules: GroupingRules,
    *,
    search: Search,
    seed: int | None,
) -> list[Candidate]:
    """The best grouping for each number of networks; those too small for the rules are left out.

    Raises:
        ValueError: if not even the largest size is enough.
    """
    return _each_size(sizes, lambda size: from_affinity(family, affinity, size, rules, search=search, seed=seed))


def _each_size(sizes: Sequence[int], propose: Callable[[int], Candidate]) -> list[Candidate]:
    if not sizes:
        return []
    found = [propose(sizes[-1])]
    for size in reversed(sizes[:-1]):
        try:
            found.append(propose(size))
        except ValueError:  # fewer networks are not enough either
            break
    return found[::-1]


def pairwise_gains(tasks: Sequence[str], losses: Mapping[tuple[frozenset[str], str], float]) -> np.ndarray:
    """Higher-order approximation: what each task gains in a pair, relative to itself alone.

    Standley et al. (ICML 2020, Section 5.2) predict a task's loss in a network by the mean of its losses in the pairs
    with each of the other tasks.

    Args:
        tasks: Names.
        losses: Validation loss of a task in the network of a set: pairs and single tasks.

    Returns:
        [T, T]; entry (i, j): by which part task i lowers the loss of task j, 0 for pairs without a loss.

    Example:
        >>> a, b, both = frozenset("a"), frozenset("b"), frozenset("ab")
        >>> pairwise_gains("ab", {(a, "a"): 2.0, (b, "b"): 1.0, (both, "a"): 1.0, (both, "b"): 1.5}).tolist()
        [[0.0, -0.5], [0.5, 0.0]]
    """
    gains = np.zeros((len(tasks), len(tasks)))
    for (i, helper), (j, task) in _ordered_pairs(tasks):
        pair = frozenset((helper, task)), task
        if pair in losses and (frozenset((task,)), task) in losses:
            gains[i, j] = 1.0 - losses[pair] / losses[frozenset((task,)), task]
    return gains


def draw(tasks: Sequence[str], size: int, rules: GroupingRules, replicate: int) -> Candidate:
    """A random partition of the served tasks into ``size`` groups, the same for the same arguments.

    Raises:
        ValueError: if no partition that follows the rules turns up.
    """
    served = rules.served(tasks)
    rng = np.random.default_rng([size, replicate, len(served)])
    for _ in range(_DRAWS if size <= len(served) else 0):
        places = rng.integers(size, size=len(served))
        if len(set(places.tolist())) < size:
            continue
        groups = [tuple(np.array(served, dtype=object)[places == place]) for place in range(size)]
        if all(rules.allows(group) for group in groups):
            networks = tuple(Network(group, group) for group in sorted(groups))
            return Candidate("random", size, networks, replicate=replicate)
    raise ValueError(
        f"no random grouping of {len(served)} tasks into {size} networks follows the rules, expected looser ones: "
        "allow single tasks or larger networks, or leave 'random' out of the comparison"
    )


def draws(tasks: Sequence[str], sizes: Sequence[int], rules: GroupingRules, count: int) -> list[Candidate]:
    """Random partitions for each number of networks; those that the rules leave none of are left out.

    Raises:
        ValueError: if the rules leave none of any size.
    """
    found: list[Candidate] = []
    refused: ValueError | None = None
    for size in sizes:
        try:
            found += [draw(tasks, size, rules, replicate) for replicate in range(count)]
        except ValueError as error:
            refused = error
    if refused and not found:
        raise refused
    return found


def best_of_all_for_every_size(
    tasks: Sequence[str],
    losses: Mapping[tuple[frozenset[str], str], float],
    sizes: Sequence[int],
    rules: GroupingRules,
    *,
    search: Search,
    seed: int | None,
) -> list[Candidate]:
    """:func:`best_of_all` for each number of networks; those too small for the rules are left out.

    Raises:
        ValueError: if not even the largest size is enough.
    """
    return _each_size(sizes, lambda size: best_of_all(tasks, losses, size, rules, search=search, seed=seed))


def best_of_all(
    tasks: Sequence[str],
    losses: Mapping[tuple[frozenset[str], str], float],
    size: int,
    rules: GroupingRules,
    *,
    search: Search,
    seed: int | None,
) -> Candidate:
    """The best grouping by the validation losses of every possible network.

    Each task's gain is relative to itself alone, as in :func:`pairwise_gains`, so that tasks with large losses do not
    decide alone.

    Raises:
        ValueError: if nothing follows the rules.
    """
    started = time.perf_counter()
    served = rules.served(tasks)
    sets = [group for group in _sets(tasks) if rules.allows(group)]
    gain = np.array(
        [
            [1.0 - losses[frozenset(group), t] / losses[frozenset((t,)), t] if t in group else -np.inf for t in served]
            for group in sets
        ]
    )
    best, chosen = -np.inf, None
    for count in range(1, size + 1):
        for places in combinations(range(len(sets)), count):
            score = float(gain[list(places)].max(axis=0).mean())
            if score > best:
                best, chosen = score, places
    if chosen is None:
        raise ValueError(f"no {size} networks of the tasks {list(tasks)} follow the rules, expected looser ones")
    server = np.array(chosen)[gain[list(chosen)].argmax(axis=0)]
    networks = tuple(
        Network(sets[place], tuple(task for task, by in zip(served, server, strict=True) if by == place))
        for place in chosen
        if place in server
    )
    seconds = time.perf_counter() - started + _beyond(search, networks)
    return Candidate("optimal", size, networks, seed, score=best, bound=best, search_seconds=seconds)


def _beyond(search: Search, networks: Sequence[Network]) -> float:
    ready = {frozenset(network.tasks) for network in networks}
    return sum(seconds for tasks, seconds in search.items() if tasks not in ready)


def sets_to_train(family: str, tasks: Sequence[str], rules: GroupingRules) -> list[tuple[str, ...]]:
    """The networks that a method has to train before it can propose anything, and no others: they are its cost.

    Sets that serve nobody or break the rules can be left out; each served task alone is what gains are measured from.

    Example:
        >>> sets_to_train("hoa", "abc", GroupingRules())
        [('a',), ('b',), ('c',), ('a', 'b'), ('a', 'c'), ('b', 'c')]
        >>> sets_to_train("hoa", "abc", GroupingRules(serve=("a",)))
        [('a',), ('a', 'b'), ('a', 'c')]
    """
    largest = {"hoa": 2, "optimal": len(tasks)}.get(family, 0)
    served = set(rules.served(tasks))
    return [
        group
        for count in range(1, largest + 1)
        for group in combinations(tasks, count)
        if served.intersection(group) and (count == 1 or rules.allows(group))
    ]


def _sets(tasks: Sequence[str]) -> list[tuple[str, ...]]:
    return [group for count in range(1, len(tasks) + 1) for group in combinations(tasks, count)]


def _ordered_pairs(tasks: Sequence[str]) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    return ((a, b) for a in enumerate(tasks) for b in enumerate(tasks) if a[0] != b[0])
