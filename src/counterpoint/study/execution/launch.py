"""Starts the same command again, once for each device."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_FORWARDED = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def launched() -> bool:
    """Whether this process is one of several that torchrun started.

    Example:
        >>> launched()
        False
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def relaunch(devices: int, nodes: int = 1, arguments: Sequence[str] | None = None) -> int:
    """Runs ``counterpoint`` with the same arguments in one process for each device of this machine.

    Signals that ask this process to end are passed on. To be called when the arguments have been checked: what the
    started processes complain about is surrounded by torchrun's words.

    Args:
        devices: Processes on this machine.
        nodes: Machines; with more than one, torchrun has to be started on each.
        arguments: Of the command line; this process's own if ``None``.

    Returns:
        The exit code.

    Raises:
        ValueError: for fewer than one device or machine, and for several machines.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for name, number in (("devices", devices), ("nodes", nodes)):
        if number < 1:
            raise ValueError(f"{name} is {number}, expected at least 1")
    if nodes > 1:
        raise ValueError(
            f"nodes is {nodes}, but this is one machine: run on every machine, with HOST the name of the first: "
            f"torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d --rdzv-endpoint HOST:29400 "
            f"-m counterpoint {shlex.join(given)}"
        )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
    threads = str(max(1, (os.cpu_count() or 1) // devices))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    # A session of its own: else Ctrl-C would reach it twice, from the terminal and from us.
    child = subprocess.Popen(  # noqa: S603  (our own command line)
        [*command, "-m", "counterpoint", *given], env=environment, start_new_session=True
    )

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        child.send_signal(number)

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        return child.wait()
    before = {number: signal.signal(number, pass_on) for number in _FORWARDED}
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
