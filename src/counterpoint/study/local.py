"""Several runs side by side on this machine, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# Small networks gain nothing from a second thread and lose a lot when two processes compete for it. glibc returns the
# memory of a step's activations to the system and asks for it again in the next; keeping it saves a quarter of a step.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}
_LOOK_AGAIN_SECONDS = 0.2

# The queue that a worker process reports to; set once when the process starts.
_reports: Any = None


def run_all(
    items: Sequence[Item],
    work: Callable[[Item, Callable[[float], None]], Outcome],
    workers: int,
    on_progress: Callable[[int, float], None],
    on_done: Callable[[int, Outcome], None],
) -> list[Outcome]:
    """Does ``work`` for every item and returns the outcomes in the items' order.

    Args:
        items: What to work on; must be picklable.
        work: A module-level function of an item and a callable to report the share that is done.
        workers: Processes; with 1 everything happens in this process.
        on_progress: Called in this process with an item's index and the share of it that is done, 0 when it starts.
        on_done: Called in this process with an item's index and its outcome.

    Raises:
        Exception: what ``work`` raised first; runs that have not started then never start.

    Example:
        >>> run_all([2, 3], lambda item, report: item * item, 1, lambda index, share: None, lambda index, outcome: None)
        [4, 9]
    """
    if workers == 1:
        outcomes = []
        for index, item in enumerate(items):
            on_progress(index, 0.0)
            outcomes.append(work(item, lambda share, index=index: on_progress(index, share)))  # type: ignore[misc]
            on_done(index, outcomes[-1])
        return outcomes
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    with (
        _environment(_WORKER_ENVIRONMENT),
        ProcessPoolExecutor(min(workers, len(items)), context, _start_worker, (reports,)) as pool,
    ):
        with _ctrl_c_ignored():  # it reaches the whole process group; the parent ends the workers
            index_of = {pool.submit(_work_in_worker, work, index, item): index for index, item in enumerate(items)}
        pending, found = set(index_of), {}
        try:
            while pending:
                done, pending = wait(pending, _LOOK_AGAIN_SECONDS, FIRST_COMPLETED)
                while True:
                    try:
                        on_progress(*reports.get_nowait())
                    except Empty:
                        break
                for future in done:
                    index = index_of[future]
                    found[index] = future.result()
                    on_done(index, found[index])
        except BaseException:
            workers_left = list((pool._processes or {}).values())  # noqa: SLF001  (public from Python 3.14 on)
            pool.shutdown(wait=False, cancel_futures=True)
            for process in workers_left:
                process.kill()  # Lightning catches a gentler signal and goes on
            raise
    return [found[index] for index in range(len(items))]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment for processes started within; read by their libraries on import, hence before any of our code."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """For processes started within, which inherit it from their first moment on."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(reports: Any) -> None:
    global _reports  # noqa: PLW0603  (a queue can be inherited by a process, but not be sent to it)
    _reports = reports
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers: they would finish their run and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_in_worker(work: Callable[[Item, Callable[[float], None]], Outcome], index: int, item: Item) -> Outcome:
    _reports.put((index, 0.0))
    return work(item, lambda share: _reports.put((index, share)))
