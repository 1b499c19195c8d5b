"""Each job done by all ranks of a launch together, for trainings over several devices or machines."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from counterpoint.study.execution.jobs import Closing, Failure, Item, Outcome, attempt
from counterpoint.study.execution.rank_groups import RankGroups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_MINUTES = 10


class Place:
    """This process among the ranks of a launch.

    Attributes:
        leader: Whether this is the rank that runs the study; all others :meth:`follow`.
    """

    def __init__(self, groups: RankGroups) -> None:
        self._groups = groups
        self.leader = groups.rank == 0
        self._at_rest = True

    def follow(self) -> None:
        """Takes part in the leader's jobs until it has no more."""
        while (job := self._groups.from_leader(None)) is not None:
            work, item = job
            self._do(work, item, _unheard)

    def do(self, work: Callable[..., Any], item: object, report: Callable[[float], None]) -> Any:
        """Has all ranks do a job; returns the leader's outcome, or a failure if any rank failed."""
        self._at_rest = False
        self._groups.from_leader((work, item))
        outcome = self._do(work, item, report)
        self._at_rest = True
        return outcome

    def release(self) -> None:
        """Lets the others stop following, unless they are in the middle of a job."""
        if self.leader and self._at_rest:
            self._groups.from_leader(None)

    def _do(self, work: Callable[..., Any], item: object, report: Callable[[float], None]) -> Any:
        outcome = attempt(work, item, report)
        told = (time.time(), outcome) if isinstance(outcome, Failure) else None
        failures = [(*words, rank) for rank, words in enumerate(self._groups.from_all(told)) if words is not None]
        if not failures:
            return outcome
        self._groups.renew()  # one that was left in the middle of a collective is of no more use
        _, failure, rank = min(failures, key=lambda words: words[0])  # the others failed because they waited for it
        return Failure(f"{failure.error} (rank {rank})", failure.trace)


def _unheard(share: float) -> None:
    """The leader tells how a job gets on; the others do the same at the same time."""


class RanksExecutor(Closing):
    """All ranks of a launch do each job together, one job after the other.

    ``work`` runs on every rank with the same item and may use the default process group, as Lightning's ``ddp``
    strategy does. The leader's outcome counts. If one rank fails, the others wait for it in vain until the group's
    timeout; then the job has failed and all go on with the next.

    Args:
        place: The leader's place, from :func:`ranks`.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def run(
        self,
        items: Sequence[Item],
        work: Callable[[Item, Callable[[float], None]], Outcome],
        on_progress: Callable[[int, float], None],
        on_done: Callable[[int, Outcome | Failure], None],
    ) -> list[Outcome | Failure]:
        """See :class:`~counterpoint.study.execution.Executor`."""
        outcomes: list[Outcome | Failure] = []
        for index, item in enumerate(items):
            on_progress(index, 0.0)
            outcomes.append(self.place.do(work, item, lambda share, index=index: on_progress(index, share)))  # type: ignore[misc]
            on_done(index, outcomes[-1])
        return outcomes


@contextmanager
def ranks(timeout: timedelta = timedelta(minutes=_MINUTES)) -> Iterator[Place]:
    """Brings the processes that torchrun started together.

    A process group that exists is used and left as it is; otherwise one is made (gloo on CPUs, NCCL on GPUs) from
    torchrun's environment variables and destroyed at the end. Use it as::

        with ranks() as place:
            if place.leader:
                study(RanksExecutor(place))
            else:
                place.follow()

    Args:
        timeout: How long a rank waits for another inside a job. Jobs in which one rank works alone for longer than this
            need more.

    Raises:
        ValueError: outside a launch.
    """
    groups = RankGroups(timeout)
    place = Place(groups)
    try:
        yield place
    finally:
        place.release()
        groups.close()
