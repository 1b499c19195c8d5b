"""How many jobs this process can do side by side."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may use; a container or a batch system may have given it a few of many.

    Example:
        >>> cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
