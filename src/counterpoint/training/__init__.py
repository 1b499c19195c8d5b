"""Training on Lightning: one module for any MultiTaskModel, and a history of what happened."""

from counterpoint.training.affinity import AffinityCallback
from counterpoint.training.fit import FitResult, FitSettings, fit
from counterpoint.training.history import History
from counterpoint.training.module import MultiTaskModule

__all__ = ["AffinityCallback", "FitResult", "FitSettings", "History", "MultiTaskModule", "fit"]
