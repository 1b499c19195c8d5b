"""Which network contains and which serves what, as tables and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report.group_methods import TAG
from counterpoint.report.wording import NO_BREAK, listing, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.grouping.result import Network
    from counterpoint.study.group_results import Candidate, GroupResults

SERVES, HELPS, ABSENT = "serves", "helps", ""


@dataclass(frozen=True)
class Member:
    """One task: what it is to each network, and whether it is the first task of its network."""

    task: str
    roles: list[str]
    first: bool


@dataclass(frozen=True)
class Groups:
    """One grouping of a size.

    Attributes:
        candidate: The grouping.
        seeds: The seeds that it is for; empty if it is for all.
        members: The tasks, ordered by the network that serves them; tasks that only help come last.
        proof: How good it is known to be, in a sentence.
    """

    candidate: Candidate
    seeds: tuple[int, ...]
    members: list[Member]
    proof: str

    @property
    def networks(self) -> tuple[Network, ...]:
        """Its networks."""
        return self.candidate.networks

    @property
    def sentences(self) -> list[str]:
        """One sentence a network: what it serves, and what helps."""
        return [describe(network) for network in self.networks]


def groups_of(results: GroupResults, family: str = TAG) -> dict[int, list[Groups]]:
    """The groupings of a family by size; of one size the one that most seeds led to comes first.

    Args:
        results: A study.
        family: A key of ``FAMILIES``.
    """
    by_size: dict[int, dict[object, list[Candidate]]] = {}
    for candidate in results.candidates:
        if candidate.family == family:
            same = frozenset((frozenset(network.tasks), frozenset(network.serves)) for network in candidate.networks)
            by_size.setdefault(candidate.size, {}).setdefault(same, []).append(candidate)
    found: dict[int, list[Groups]] = {}
    for size in sorted(by_size):
        often_first = sorted(by_size[size].values(), key=lambda same: -len(same))
        found[size] = [_groups(same, results.affinity.tasks) for same in often_first]
    return found


def _groups(same: list[Candidate], tasks: Sequence[str]) -> Groups:
    networks = same[0].networks
    seeds = tuple(candidate.seed for candidate in same if candidate.seed is not None)
    # Several seeds may have led to it with different scores; the weakest proof is the one to tell.
    worst = max(same, key=lambda candidate: (candidate.status != "optimal", gap(candidate) or 0.0))
    return Groups(same[0], seeds, members(networks, tasks), proof(worst))


def members(networks: Sequence[Network], tasks: Sequence[str]) -> list[Member]:
    """The tasks as rows of a table whose columns are the networks.

    Example:
        >>> from counterpoint.grouping import Network
        >>> networks = [Network(("a", "c"), ("c",)), Network(("a", "b"), ("a", "b"))]
        >>> [(member.task, member.roles) for member in members(networks, ["a", "b", "c"])]
        [('c', ['serves', '']), ('a', ['helps', 'serves']), ('b', ['', 'serves'])]
    """
    rows = []
    for task, first in ordered(networks, tasks):
        roles = [SERVES if task in n.serves else HELPS if task in n.tasks else ABSENT for n in networks]
        rows.append(Member(task, roles, first))
    return rows


def ordered(networks: Sequence[Network], tasks: Sequence[str]) -> list[tuple[str, bool]]:
    """The tasks by the network that serves them, each with whether a new group begins with it; the others last.

    Example:
        >>> from counterpoint.grouping import Network
        >>> ordered([Network(("a", "c"), ("c", "a"))], ["a", "b", "c"])
        [('a', True), ('c', False), ('b', True)]
    """
    groups = [[task for task in tasks if task in network.serves] for network in networks]
    served = {task for group in groups for task in group}
    groups.append([task for task in tasks if task not in served])
    return [(task, place == 0) for group in groups for place, task in enumerate(group)]


def describe(network: Network) -> str:
    """What a network serves and what helps, without its number.

    Example:
        >>> from counterpoint.grouping import Network
        >>> describe(Network(("a", "b", "c"), ("a", "b"))), describe(Network(("a",), ("a",)))
        ('serves a and b, with the help of c', 'serves a alone')
    """
    helpers = [task for task in network.tasks if task not in network.serves]
    alone = " alone" if len(network.tasks) == 1 else ""
    return f"serves {listing(network.serves)}{alone}" + (f", with the help of {listing(helpers)}" if helpers else "")


def gap(candidate: Candidate) -> float | None:
    """By how much another grouping of this size could score more; None where that is not known."""
    if candidate.score is None or candidate.bound is None:
        return None
    return max(candidate.bound - candidate.score, 0.0)


def proof(candidate: Candidate) -> str:
    """What the search knows about a grouping.

    Example:
        >>> from counterpoint.study.group_results import Candidate
        >>> candidate = Candidate("tag", 2, (), score=0.5, bound=0.5)
        >>> proof(candidate).replace(NO_BREAK, " ")
        'Predicted score 0.5. Proven: no grouping with at most 2 networks scores more.'
    """
    if candidate.score is None:
        return ""
    said = f"Predicted score {significant(candidate.score)}."
    at_most = f"with at most {plural(candidate.size, 'network')}"
    if candidate.status == "optimal":
        return f"{said} Proven: no grouping {at_most} scores more."
    if candidate.bound is None:
        return f"{said} Not proven: the search stopped early, and a grouping {at_most} may score more."
    share = f", {100 * (gap(candidate) or 0.0) / abs(candidate.bound):.2g}{NO_BREAK}% of it" if candidate.bound else ""
    return (
        f"{said} Not proven to be the best: the search stopped early. It did prove that no grouping {at_most} scores "
        f"more than {significant(candidate.bound)}, so this one is short of the best by at most "
        f"{significant(gap(candidate) or 0.0)}{share}."
    )


def significant(value: float) -> str:
    """A score or an affinity with three digits and a true minus sign.

    Example:
        >>> significant(0.012345), significant(0.0)
        ('0.0123', '0')
    """
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
