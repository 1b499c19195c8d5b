"""Many task gradients in, one shared update out."""

from counterpoint.balancing.fanout import FanOut
from counterpoint.balancing.min_norm import MinNormPoint, min_norm_point
from counterpoint.balancing.step_record import NonFiniteGradientError, StepRecord
from counterpoint.balancing.weightings import MGDA, Uniform, Weighting, get_weighting, weighting_names

__all__ = [
    "MGDA",
    "FanOut",
    "MinNormPoint",
    "NonFiniteGradientError",
    "StepRecord",
    "Uniform",
    "Weighting",
    "get_weighting",
    "min_norm_point",
    "weighting_names",
]
