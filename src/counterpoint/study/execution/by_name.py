"""An executor by the name that people give it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from counterpoint.study.execution.cluster import RayExecutor
from counterpoint.study.execution.local import LocalExecutor

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.study.execution.jobs import Executor


def executor(
    name: Literal["local", "ray"], workers: int, address: str | None = None, folder: Path | None = None
) -> Executor:
    """The place that runs jobs.

    Args:
        name: ``"local"`` (processes on this machine) or ``"ray"``.
        workers: Jobs side by side on this machine; on a cluster that exists its size decides.
        address: Of a Ray cluster: ``"auto"``, ``"host:6379"`` or ``"ray://host:10001"``; ``None`` starts one here.
        folder: What every machine of a cluster must see.

    Raises:
        ValueError: for an unknown name, for no worker, and for an address that nobody would use.

    Example:
        >>> executor("local", 2).workers
        2
    """
    if name == "ray":
        return RayExecutor(address, workers, folder)
    if name != "local":
        raise ValueError(f"unknown executor {name!r}, expected 'local' or 'ray'")
    if address is not None:
        raise ValueError(f"address {address!r} is given for executor 'local', expected it with 'ray' alone")
    return LocalExecutor(workers)
