"""Weightings, one a file."""

from counterpoint.balancing.weightings.as_torchjd import as_torchjd
from counterpoint.balancing.weightings.by_name import get_weighting, weighting_names
from counterpoint.balancing.weightings.dibs import DiBS
from counterpoint.balancing.weightings.fairgrad import FairGrad
from counterpoint.balancing.weightings.gradnorm import GradNorm
from counterpoint.balancing.weightings.mgda import MGDA
from counterpoint.balancing.weightings.nash import Nash
from counterpoint.balancing.weightings.uniform import Uniform
from counterpoint.balancing.weightings.weighting import Weighting

__all__ = [
    "MGDA",
    "DiBS",
    "FairGrad",
    "GradNorm",
    "Nash",
    "Uniform",
    "Weighting",
    "as_torchjd",
    "get_weighting",
    "weighting_names",
]
