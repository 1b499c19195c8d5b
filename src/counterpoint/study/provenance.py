"""On what a study ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from counterpoint import __version__


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("torch", "lightning", "torchmetrics", "numpy", "scipy")
    return (
        {"counterpoint": __version__} | {name: version(name) for name in names} | {"python": platform.python_version()}
    )


def machine() -> str:
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
