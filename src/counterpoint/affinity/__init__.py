"""Inter-task affinity, measured while training: which task's step lowers which task's loss.

Each name is loaded when it is first used: :class:`Affinity` needs no torch, and the report that shows it has none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterpoint.affinity.affinity import Affinity
    from counterpoint.affinity.last_layers import last_layers
    from counterpoint.affinity.meter import AffinityMeter

__all__ = ["Affinity", "AffinityMeter", "last_layers"]

_HOME_OF = {
    "Affinity": "counterpoint.affinity.affinity",
    "AffinityMeter": "counterpoint.affinity.meter",
    "last_layers": "counterpoint.affinity.last_layers",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'counterpoint.affinity' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
