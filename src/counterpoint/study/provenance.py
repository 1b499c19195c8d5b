"""On what a study ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint import __version__

if TYPE_CHECKING:
    import datetime as dt


def provenance(command: str, started: dt.datetime, seconds: float) -> dict[str, Any]:
    """What the report says about how a study came to be.

    Args:
        command: The command line that reproduces it.
        started: When.
        seconds: How long it took.
    """
    return {
        "command": command,
        "versions": _versions(),
        "machine": _machine(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }


def _versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("torch", "lightning", "torchmetrics", "numpy", "scipy")
    return (
        {"counterpoint": __version__} | {name: version(name) for name in names} | {"python": platform.python_version()}
    )


def _machine() -> str:
    """Processor, cores and system, in words."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
