"""Counterpoint: multi-task learning on PyTorch.

Balance task gradients with one backward pass, measure which tasks help each other, group them, and see whether sharing
helped. Everything public is importable from here; each name is loaded when it is first used, so that
``import counterpoint`` costs nothing by itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterpoint.affinity import Affinity, AffinityMeter
    from counterpoint.balancing import (
        MGDA,
        DiBS,
        FairGrad,
        FanOut,
        GradNorm,
        MinNormPoint,
        Nash,
        NonFiniteGradientError,
        Step,
        StepRecord,
        Uniform,
        Weighting,
        as_torchjd,
        backward,
        get_weighting,
        min_norm_point,
        weighting_names,
    )
    from counterpoint.grouping import Grouping, Network, group_tasks
    from counterpoint.models import MultiTaskModel
    from counterpoint.serving import load_bundle
    from counterpoint.study.study import Study
    from counterpoint.tasks import Task
    from counterpoint.trajectory import (
        Probe,
        Trajectory,
        conflict,
        fisher_trace,
        generalization_gap,
        gradient_coherence,
        hessian_trace,
        optimization_deficit,
        sam_sharpness,
        top_eigenvalues,
    )

__version__ = "0.1.0"

_HOMES = {
    "counterpoint.affinity": ("Affinity", "AffinityMeter"),
    "counterpoint.balancing": (
        "DiBS",
        "FairGrad",
        "FanOut",
        "GradNorm",
        "MGDA",
        "MinNormPoint",
        "Nash",
        "NonFiniteGradientError",
        "Step",
        "StepRecord",
        "Uniform",
        "Weighting",
        "as_torchjd",
        "backward",
        "get_weighting",
        "min_norm_point",
        "weighting_names",
    ),
    "counterpoint.grouping": ("Grouping", "Network", "group_tasks"),
    "counterpoint.models": ("MultiTaskModel",),
    "counterpoint.serving": ("load_bundle",),
    "counterpoint.study.study": ("Study",),
    "counterpoint.tasks": ("Task",),
    "counterpoint.trajectory": (
        "Probe",
        "Trajectory",
        "conflict",
        "fisher_trace",
        "generalization_gap",
        "gradient_coherence",
        "hessian_trace",
        "optimization_deficit",
        "sam_sharpness",
        "top_eigenvalues",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  (grouped by the question they answer)
    "FanOut",
    "backward",
    "StepRecord",
    "NonFiniteGradientError",
    "Weighting",
    "Step",
    "Uniform",
    "MGDA",
    "DiBS",
    "Nash",
    "FairGrad",
    "GradNorm",
    "get_weighting",
    "weighting_names",
    "as_torchjd",
    "min_norm_point",
    "MinNormPoint",
    "AffinityMeter",
    "Affinity",
    "group_tasks",
    "Grouping",
    "Network",
    "conflict",
    "top_eigenvalues",
    "hessian_trace",
    "fisher_trace",
    "gradient_coherence",
    "sam_sharpness",
    "Probe",
    "Trajectory",
    "generalization_gap",
    "optimization_deficit",
    "Task",
    "MultiTaskModel",
    "Study",
    "load_bundle",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'counterpoint' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs the extra 'study' ({error}): pip install 'counterpoint[study]'") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
