"""TorchJD's methods by name, found by looking at what it exports."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import torchjd.aggregation
import torchjd.scalarization

from counterpoint.balancing.weightings.crmogm import CRMOGM
from counterpoint.balancing.weightings.torchjd_methods import RootMethod, TorchJDMethod, TwoBatchMethod
from counterpoint.balancing.weightings.torchjd_options import checked_options
from counterpoint.balancing.weightings.torchjd_pcgrad import PCGradMethod
from counterpoint.balancing.weightings.torchjd_rows import ParameterRowMethod, RowMethod
from counterpoint.balancing.weightings.torchjd_scalarizers import (
    EpochScalarizer,
    ReevaluatedScalarizer,
    ScalarizerMethod,
)

if TYPE_CHECKING:
    from torch import nn

    from counterpoint.balancing.weightings.weighting import Weighting

_BASES = frozenset({"Aggregator", "WeightedAggregator", "GramianWeightedAggregator", "Weighting", "Scalarizer"})
_LOOK_AT_NOTHING = frozenset({"constant", "mean", "random", "sum"})
_TWO_BATCHES = frozenset({"modo", "sdmgrad"})
# Equivariant to rotations of the gradients, though TorchJD gives them rows.
_ON_A_ROOT = frozenset({"config", "nashmtl"})


@functools.cache
def torchjd_methods() -> dict[str, type[nn.Module]]:
    """Classes of TorchJD by key: the class name without "Weighting", in lower case.

    A method's weighting stands before its aggregator, and both before a scalarizer of the same name.
    """
    found: dict[str, type[nn.Module]] = {}
    aggregation, scalarization = torchjd.aggregation, torchjd.scalarization
    weightings = [name for name in aggregation.__all__ if name.endswith("Weighting")]
    aggregators = [name for name in aggregation.__all__ if not name.endswith("Weighting")]
    for module, names in (
        (aggregation, weightings),
        (aggregation, aggregators),
        (scalarization, scalarization.__all__),
    ):
        for name in names:
            if name not in _BASES:
                found.setdefault(name.removesuffix("Weighting").lower(), getattr(module, name))
    return found


def torchjd_weighting(key: str, name: str, options: dict[str, Any]) -> Weighting:
    """Makes a weighting of a TorchJD method.

    Args:
        key: One of the keys of :func:`torchjd_methods`.
        name: What the user calls it, for messages.
        options: What the method's constructor takes.

    Raises:
        ValueError: for an option that the method does not have, that is missing or out of range.
        ImportError: if a package that the method needs is missing.
    """
    method = torchjd_methods()[key]
    options = checked_options(name, method, options)
    if key == "crmogm":
        return CRMOGM(**options)
    if issubclass(method, torchjd.scalarization.Scalarizer):
        # FAMO hears of every step, DWA of every epoch.
        by_call = {"update": ReevaluatedScalarizer, "step": EpochScalarizer}
        kind = next((kind for call, kind in by_call.items() if hasattr(method, call)), ScalarizerMethod)
        return kind(name, method, options)
    if key in _LOOK_AT_NOTHING:
        return TorchJDMethod(name, method, options, needs_gram=False)
    return _kind(key, method)(name, method, options)


def _kind(key: str, method: type[nn.Module]) -> type[TorchJDMethod]:
    if key in _TWO_BATCHES:
        return TwoBatchMethod
    if key == "pcgrad":
        return PCGradMethod
    if issubclass(method, torchjd.aggregation.GramianWeightedAggregator) or key in _ON_A_ROOT:
        return RootMethod
    if issubclass(method, torchjd.aggregation.Weighting):
        # What forward takes says what the method looks at: a PSDMatrix is a Gram matrix, a Matrix has rows.
        stat = next(iter(list(inspect.signature(method.forward).parameters.values())[1:]))
        return TorchJDMethod if "PSDMatrix" in str(stat.annotation) else ParameterRowMethod
    return RowMethod
