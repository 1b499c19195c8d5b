"""Training on Lightning: one module for any MultiTaskModel, a history of what happened, affinity and trajectories."""

from counterpoint.training.affinity import AffinityCallback
from counterpoint.training.cross_fit import CrossFit
from counterpoint.training.fit import FitResult, fit
from counterpoint.training.history import History
from counterpoint.training.module import MultiTaskModule
from counterpoint.training.optimization import Optimization
from counterpoint.training.probing import Curvature
from counterpoint.training.schedule import Schedule
from counterpoint.training.settings import FitSettings
from counterpoint.training.trajectory import TrajectoryCallback

__all__ = [
    "AffinityCallback",
    "CrossFit",
    "Curvature",
    "FitResult",
    "FitSettings",
    "History",
    "MultiTaskModule",
    "Optimization",
    "Schedule",
    "TrajectoryCallback",
    "fit",
]
