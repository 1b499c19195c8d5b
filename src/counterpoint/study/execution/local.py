"""Several jobs side by side on this machine, one thread each."""

from __future__ import annotations

from contextlib import closing
from multiprocessing import util
from typing import TYPE_CHECKING

from counterpoint.study.execution.jobs import Closing, Failure, Item, Outcome, attempt
from counterpoint.study.execution.pool import end, side_by_side
from counterpoint.study.execution.worker import Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.study.execution.worker import Worker


class LocalExecutor(Closing):
    """Processes on this machine, each of which works on one job after the other with one thread.

    With one worker everything happens in this process, in order. With more, a job whose process is killed (by the
    system, for want of memory) is run once more by itself, when the others are done. Processes stay for the next
    :meth:`run`, until :meth:`close`.

    Args:
        workers: Processes.

    Raises:
        ValueError: if there is no worker.

    Example:
        >>> with LocalExecutor(1) as place:
        ...     place.run([2, 0], lambda item, report: 6 // item, lambda *_: None, lambda *_: None)[0]
        3
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, expected at least 1")
        self.workers = workers
        self._kept: list[Worker] = []
        # Python waits for processes before it exits, and these would wait for jobs.
        util.Finalize(self, end, (self._kept,), exitpriority=1)

    def run(
        self,
        items: Sequence[Item],
        work: Callable[[Item, Callable[[float], None]], Outcome],
        on_progress: Callable[[int, float], None],
        on_done: Callable[[int, Outcome | Failure], None],
    ) -> list[Outcome | Failure]:
        """See :class:`~counterpoint.study.execution.Executor`."""
        found: dict[int, Outcome | Failure] = {}
        if self.workers == 1:
            for index, item in enumerate(items):
                on_progress(index, 0.0)
                found[index] = attempt(work, item, lambda share, index=index: on_progress(index, share))  # type: ignore[misc]
                on_done(index, found[index])
        else:
            with closing(side_by_side(items, work, self.workers, on_progress, self._kept)) as ended:
                for index, outcome in ended:
                    found[index] = outcome.failure if isinstance(outcome, Raised) else outcome
                    on_done(index, found[index])
        return [found[index] for index in range(len(items))]

    def close(self) -> None:
        """Ends the processes."""
        end(self._kept)


def run_all(
    items: Sequence[Item],
    work: Callable[[Item, Callable[[float], None]], Outcome],
    workers: int,
    on_progress: Callable[[int, float], None],
    on_done: Callable[[int, Outcome], None],
) -> list[Outcome]:
    """Does ``work`` for every item, where one that fails makes the others useless.

    Args:
        items: What to work on; must be picklable.
        work: A module-level function of an item and a callable to report the share that is done.
        workers: Processes; with 1 everything happens in this process.
        on_progress: Called in this process with an item's index and the share of it that is done, 0 when it starts.
        on_done: Called in this process with an item's index and its outcome.

    Raises:
        Exception: what ``work`` raised first; runs that have not started then never start.
        BrokenProcessPool: if a job's process was killed twice.

    Example:
        >>> run_all([2, 3], lambda item, report: item * item, 1, lambda index, share: None, lambda index, outcome: None)
        [4, 9]
    """
    outcomes: dict[int, Outcome] = {}
    if workers == 1:
        for index, item in enumerate(items):
            on_progress(index, 0.0)
            outcomes[index] = work(item, lambda share, index=index: on_progress(index, share))  # type: ignore[misc]
            on_done(index, outcomes[index])
    else:
        with closing(side_by_side(items, work, workers, on_progress)) as ended:
            for index, outcome in ended:
                if isinstance(outcome, Raised):
                    raise outcome.error
                outcomes[index] = outcome
                on_done(index, outcomes[index])
    return [outcomes[index] for index in range(len(items))]
