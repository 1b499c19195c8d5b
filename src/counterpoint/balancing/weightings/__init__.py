"""Weightings, one method a file."""

from counterpoint.balancing.weightings.by_name import get_weighting, weighting_names
from counterpoint.balancing.weightings.mgda import MGDA
from counterpoint.balancing.weightings.uniform import Uniform
from counterpoint.balancing.weightings.weighting import Weighting

__all__ = ["MGDA", "Uniform", "Weighting", "get_weighting", "weighting_names"]
