"""To a Ray cluster and away from it, quietly and within a bounded time."""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
from typing import Any

_ANSWER_SECONDS = 10.0
_OBJECT_STORE_BYTES = 100 * 2**20  # jobs exchange descriptions and numbers, not data


def loaded(module: str = "ray") -> Any:
    """Ray or one of its modules; loaded when needed, and of no type because it is an optional extra."""
    return importlib.import_module(module)


def connect(address: str | None, workers: int) -> bool:
    """Connects to a cluster, or starts one on this machine.

    Args:
        address: Of a cluster that exists, or ``None``.
        workers: CPUs of a cluster that is started.

    Returns:
        Whether there is now something to disconnect from; not if this process was connected before.

    Raises:
        ValueError: if Ray is not installed or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # both are read when Ray is loaded
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = loaded()
    except ImportError:
        raise ValueError("executor 'ray' needs Ray, which is not installed: pip install 'counterpoint[ray]'") from None
    if ray.is_initialized():
        return False
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        os.environ.setdefault("RAY_task_oom_retries", "1")  # else a job that is too large is run for ever
        ray.init(
            "local",
            num_cpus=workers,
            num_gpus=0,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
        return True
    _check_answers(address)
    try:
        ray.init(address, **quiet)
    except Exception as error:
        raise ValueError(
            f"no Ray cluster can be used at {address!r}: {_first_line(error)}: see 'ray status' there"
        ) from error
    return True


def disconnect() -> None:
    """Leaves a cluster; ends one that was started here."""
    loaded().shutdown()


def _check_answers(address: str) -> None:
    """Ray itself tries for minutes."""
    if address in {"auto", "local"}:
        return
    match = re.fullmatch(r"(?:ray://)?(?P<host>[^:/]+|\[[^\]]+\]):(?P<port>\d{1,5})", address)
    if match is None:
        raise ValueError(f"address is {address!r}, expected 'auto', 'host:6379' or 'ray://host:10001'")
    try:
        with socket.create_connection((match["host"].strip("[]"), int(match["port"])), _ANSWER_SECONDS):
            pass
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            _check_grpc(address.removeprefix("ray://"))
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address!r} ({_first_line(error)}): start one there with 'ray start --head', "
            "or leave the address out"
        ) from error


def _check_grpc(target: str) -> None:
    """Both kinds of address are gRPC servers; of any other, Ray waits for an answer."""
    grpc: Any = importlib.import_module("grpc")
    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(_ANSWER_SECONDS)
        except grpc.FutureTimeoutError:
            raise ConnectionError("something else does") from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
