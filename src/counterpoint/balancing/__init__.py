"""Many task gradients in, one shared update out."""

from counterpoint.balancing.backward import backward
from counterpoint.balancing.fanout import FanOut
from counterpoint.balancing.min_norm import MinNormPoint, min_norm_point
from counterpoint.balancing.step import Step
from counterpoint.balancing.step_record import NonFiniteGradientError, StepRecord
from counterpoint.balancing.weightings import (
    MGDA,
    DiBS,
    FairGrad,
    GradNorm,
    Nash,
    Uniform,
    Weighting,
    as_torchjd,
    get_weighting,
    weighting_names,
)

__all__ = [
    "MGDA",
    "DiBS",
    "FairGrad",
    "FanOut",
    "GradNorm",
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
]
