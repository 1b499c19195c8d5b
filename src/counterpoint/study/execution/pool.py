"""Jobs in processes side by side; a process that is killed takes no other job with it."""

from __future__ import annotations

from collections import deque
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from counterpoint.study.execution.jobs import KILLED, Failure
from counterpoint.study.execution.worker import Raised, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

_LOOK_AGAIN_SECONDS = 0.5  # where waiting cannot be interrupted
_MOST_FAILED_STARTS = 3
# New processes run a program's file from the top: one that starts its work there, starts it in each of them.
_NO_START = (
    "worker processes end before they have started: a program of your own has to start its work below "
    "if __name__ == '__main__':, or with workers=1"
)


def side_by_side(
    items: Sequence[Any],
    work: Callable[..., Any],
    workers: int,
    on_progress: Callable[[int, float], None],
    kept: list[Worker] | None = None,
) -> Generator[tuple[int, Any], None, None]:
    """Does ``work`` for every item and yields each one's index and outcome, or :class:`Raised`, as they end.

    A job whose process was killed is run again when all others are done, by itself: then nobody competes with it for
    memory. If its process is killed again, the job has failed.

    Args:
        items: What to work on; must be picklable.
        work: A module-level function of an item and a callable to report the share that is done.
        workers: Processes at the most.
        on_progress: Called with an item's index and the share of it that is done.
        kept: Processes from before, which are kept for the next time if all goes well: what they have loaded stays
            loaded. Is changed.

    Raises:
        BrokenProcessPool: if processes end before they could start.
    """
    pool = _Pool(items, work, on_progress, [] if kept is None else kept)
    try:
        while pool.left:
            pool.grow(workers)
            yield from pool.step()
    except BaseException:
        pool.kill()
        raise
    if kept is None:
        end(pool.workers)


def end(workers: list[Worker]) -> None:
    """Lets processes go that have no job."""
    while workers:
        workers.pop().end()


class _Pool:
    def __init__(
        self,
        items: Sequence[Any],
        work: Callable[..., Any],
        on_progress: Callable[[int, float], None],
        workers: list[Worker],
    ) -> None:
        self.items, self.work, self.on_progress, self.workers = items, work, on_progress, workers
        self.waiting = deque(range(len(items)))
        self.again: deque[int] = deque()  # jobs whose process was killed
        self.killed: set[int] = set()
        self.left = len(items)
        self.failed_starts = 0

    def grow(self, most: int) -> None:
        while len(self.workers) < min(most, self.left):
            self.workers.append(Worker.start())

    def step(self) -> Iterator[tuple[int, Any]]:
        """Hands out jobs and waits until somebody says something."""
        for worker in self.workers:
            if worker.ready and worker.index is None:  # also one that was kept
                yield from self._give(worker)
        sources = {source: worker for worker in self.workers for source in (worker.connection, worker.process.sentinel)}
        told = connection.wait(list(sources), _LOOK_AGAIN_SECONDS)
        for worker in {sources[source] for source in told}:
            yield from self._listen(worker)

    def _listen(self, worker: Worker) -> Iterator[tuple[int, Any]]:
        try:
            for kind, content in worker.said():
                worker.ready, self.failed_starts = True, 0
                if kind == "share" and worker.index is not None:
                    self.on_progress(worker.index, content)
                elif kind == "done" and worker.index is not None:
                    index, worker.index = worker.index, None
                    self.left -= 1
                    yield index, content
        except EOFError:
            self.workers.remove(worker)
            worker.kill()
            yield from self._mourn(worker)

    def _mourn(self, worker: Worker) -> Iterator[tuple[int, Any]]:
        if not worker.ready:
            self.failed_starts += 1
            if self.failed_starts == _MOST_FAILED_STARTS:
                raise BrokenProcessPool(_NO_START)
        if worker.index is None:
            return
        if worker.index in self.killed:
            self.left -= 1
            yield worker.index, Raised(Failure(KILLED), BrokenProcessPool(KILLED))
        else:
            self.killed.add(worker.index)
            self.again.append(worker.index)

    def _give(self, worker: Worker) -> Iterator[tuple[int, Any]]:
        """The next job, or none: a job that lost its process waits until nobody else works."""
        while True:
            if self.waiting:
                index = self.waiting.popleft()
            elif self.again and all(other.index is None for other in self.workers):
                index = self.again.popleft()
            else:
                return
            try:
                worker.give(index, self.work, self.items[index])
            except Exception as error:  # noqa: BLE001  (pickling runs what the item brings)
                self.left -= 1
                yield index, Raised(Failure.of(error), error)
            else:
                return

    def kill(self) -> None:
        while self.workers:
            self.workers.pop().kill()
