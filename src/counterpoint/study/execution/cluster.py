"""Jobs on a Ray cluster: one that exists, or one of this machine's own."""

from __future__ import annotations

import pickle
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.study.execution import ray_jobs
from counterpoint.study.execution.jobs import KILLED, Closing, Failure, Item, Outcome
from counterpoint.study.execution.ray_connection import connect, disconnect, loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOOK_AGAIN_SECONDS = 0.5
_ANSWER_SECONDS = 60.0


class RayExecutor(Closing):
    """A Ray cluster, where each job takes one CPU and works with one thread.

    Connects at the first :meth:`run` and stays connected until :meth:`close`. A job whose process is killed is run once
    more. Machines of a cluster need the same version of Counterpoint, and the study's folder on a file system that
    all of them see.

    Args:
        address: ``"auto"``, ``"host:6379"`` or ``"ray://host:10001"`` of a cluster that exists; ``None`` starts one on
            this machine, which ends with :meth:`close`.
        workers: CPUs of a cluster that is started here.
        folder: What every machine must see; looked for on each before the first job.

    Raises:
        ValueError: if there is no worker. :meth:`run` raises it if Ray is not installed, if the cluster does not
            answer, and if a machine does not see the folder.
    """

    def __init__(self, address: str | None = None, workers: int = 1, folder: Path | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, expected at least 1")
        self.address, self.workers, self.folder = address, workers, folder
        self._connected = False
        self._ours = False

    def run(
        self,
        items: Sequence[Item],
        work: Callable[[Item, Callable[[float], None]], Outcome],
        on_progress: Callable[[int, float], None],
        on_done: Callable[[int, Outcome | Failure], None],
    ) -> list[Outcome | Failure]:
        """See :class:`~counterpoint.study.execution.Executor`."""
        self._connect()
        ray = loaded()
        found: dict[int, Outcome | Failure] = {}
        mailbox = ray.remote(ray_jobs.Mailbox).options(num_cpus=0).remote()
        job = ray.remote(ray_jobs.work_on).options(num_cpus=1, max_retries=1, retry_exceptions=False)
        index_of: dict[Any, int] = {}
        try:
            for index, item in enumerate(items):
                try:
                    packed = pickle.dumps((work, item))
                except Exception as error:  # noqa: BLE001  (pickling runs what the item brings)
                    found[index] = Failure.of(error)
                    on_done(index, found[index])
                else:
                    index_of[job.remote(packed, sys.path, index, mailbox)] = index
            pending = list(index_of)
            while pending:
                done, pending = ray.wait(pending, timeout=_LOOK_AGAIN_SECONDS)
                for index, share in _mail(mailbox):
                    if index not in found:
                        on_progress(index, share)
                for reference in done:
                    index = index_of[reference]
                    found[index] = _outcome(reference)
                    on_done(index, found[index])
        except BaseException:
            for reference in index_of:
                ray.cancel(reference, force=True)
            raise
        finally:
            ray.kill(mailbox)
        return [found[index] for index in range(len(items))]

    def close(self) -> None:
        """Disconnects from what :meth:`run` connected to; ends a cluster that it started."""
        if self._ours:
            disconnect()
        self._connected = self._ours = False

    def _connect(self) -> None:
        if self._connected:
            return
        self._ours = connect(self.address, self.workers)
        self._connected = True
        try:
            if self.folder is not None and self.address is not None:
                _check_seen(self.folder)
        except BaseException:
            self.close()
            raise


def _mail(mailbox: Any) -> list[tuple[int, float]]:
    ray = loaded()
    try:
        return ray.get(mailbox.take.remote(), timeout=_ANSWER_SECONDS)  # type: ignore[no-any-return]
    except ray.exceptions.RayError:  # nobody should lose a study because nobody can see how it gets on
        return []


def _outcome(reference: Any) -> Any:
    ray = loaded()
    try:
        return ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        return Failure(KILLED)
    except Exception as error:  # noqa: BLE001  (an outcome that cannot travel)
        return Failure.of(error)


def _check_seen(folder: Path) -> None:
    """Every machine must see what this one has just written."""
    ray, strategies = loaded(), loaded("ray.util.scheduling_strategies")
    folder = folder.absolute()
    mark = folder / f".seen-{uuid.uuid4().hex}"
    mark.touch()
    try:
        for node in ray.nodes():
            if not node["Alive"]:
                continue
            there = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            look = ray.remote(_is_there).options(num_cpus=0, scheduling_strategy=there)
            if not ray.get(look.remote(str(mark)), timeout=_ANSWER_SECONDS):
                raise ValueError(
                    f"machine {node['NodeManagerHostname']} of the Ray cluster does not see the folder '{folder}', "
                    "expected one on a file system that all machines share: give it as --out"
                )
    finally:
        mark.unlink()


def _is_there(path: str) -> bool:
    return Path(path).exists()
