"""What happened along a training trajectory: conflict, curvature, Fisher information, coherence, generalization gap.

Each name is loaded when it is first used: the gap is read off finished results, and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterpoint.trajectory.coherence import Coherence, gradient_coherence
    from counterpoint.trajectory.conflicts import Conflict, conflict
    from counterpoint.trajectory.curve import Trajectory
    from counterpoint.trajectory.deficit import AtEqualSteps, optimization_deficit
    from counterpoint.trajectory.eigenvalues import Eigenvalues, top_eigenvalues
    from counterpoint.trajectory.fisher import fisher_trace
    from counterpoint.trajectory.gap import Gap, Onset, generalization_gap
    from counterpoint.trajectory.probe import Probe
    from counterpoint.trajectory.sam import sam_sharpness
    from counterpoint.trajectory.trace import TraceEstimate, hessian_trace

_HOMES = {
    "counterpoint.trajectory.coherence": ("Coherence", "gradient_coherence"),
    "counterpoint.trajectory.conflicts": ("Conflict", "conflict"),
    "counterpoint.trajectory.curve": ("Trajectory",),
    "counterpoint.trajectory.deficit": ("AtEqualSteps", "optimization_deficit"),
    "counterpoint.trajectory.eigenvalues": ("Eigenvalues", "top_eigenvalues"),
    "counterpoint.trajectory.fisher": ("fisher_trace",),
    "counterpoint.trajectory.gap": ("Gap", "Onset", "generalization_gap"),
    "counterpoint.trajectory.probe": ("Probe",),
    "counterpoint.trajectory.sam": ("sam_sharpness",),
    "counterpoint.trajectory.trace": ("TraceEstimate", "hessian_trace"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AtEqualSteps",
    "Coherence",
    "Conflict",
    "Eigenvalues",
    "Gap",
    "Onset",
    "Probe",
    "TraceEstimate",
    "Trajectory",
    "conflict",
    "fisher_trace",
    "generalization_gap",
    "gradient_coherence",
    "hessian_trace",
    "optimization_deficit",
    "sam_sharpness",
    "top_eigenvalues",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'counterpoint.trajectory' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
