"""What runs on the machines of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

from counterpoint.study.execution.jobs import attempt
from counterpoint.study.execution.worker import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable


class Mailbox:
    """Where jobs leave what share of them is done.

    Example:
        >>> mailbox = Mailbox()
        >>> mailbox.put(0, 0.5)
        >>> mailbox.take(), mailbox.take()
        ([(0, 0.5)], [])
    """

    def __init__(self) -> None:
        self._letters: list[tuple[int, float]] = []

    def put(self, index: int, share: float) -> None:
        """Leaves the share that is done of a job."""
        self._letters.append((index, share))

    def take(self) -> list[tuple[int, float]]:
        """Everything that was left since the last time."""
        letters, self._letters = self._letters, []
        return letters


def work_on(job: bytes, path: list[str], index: int, mailbox: Any) -> Any:
    """Does one job with one thread, as on every other executor: another number of threads rounds in another way.

    Args:
        job: A work function and its item, pickled.
        path: Where the process that has the job finds modules; here they are looked for in the same places.
        index: The job's.
        mailbox: Where to report.
    """
    os.environ.update(ENVIRONMENT)
    sys.path += [folder for folder in path if folder not in sys.path]
    mailbox.put.remote(index, 0.0)
    return attempt(_unpack, job, lambda share: mailbox.put.remote(index, share))


def _unpack(job: bytes, report: Callable[[float], None]) -> Any:
    work, item = pickle.loads(job)  # noqa: S301  (from whom has connected to the cluster)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    return work(item, report)
