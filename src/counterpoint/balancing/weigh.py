"""Asking a weighting: whether it fits, and for weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from counterpoint.balancing.weightings.weighting import Weighting, needed, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.balancing.layout import HeadGradients
    from counterpoint.balancing.ranks import Ranks
    from counterpoint.balancing.step import Step

Level = Literal["features", "parameters"]


def accept(
    weighting: Weighting | Callable[[Tensor], Tensor],
    level: Level,
    *,
    heads: HeadGradients,
    every: int,
    ranks: Ranks,
    memory: str = "store",
) -> None:
    """Refuses what is no weighting, or none for this level and these options.

    Raises:
        TypeError: if it is not callable, or a class.
        ValueError: if the weighting makes no sense at this level, or combines gradients coordinate by coordinate and an
            option does not allow that.
    """
    if isinstance(weighting, type):
        name = weighting.__name__
        raise TypeError(f"weighting={name} is a class, expected a weighting made from it: {name}()")
    if not callable(weighting):
        raise TypeError(
            f"weighting={one_line(weighting)} is not callable, expected a Weighting such as MGDA(); "
            "get_weighting(name) makes one from its name"
        )
    if isinstance(weighting, Weighting) and level not in weighting.levels:
        where = f"only at level {weighting.levels[0]!r}" if weighting.levels else "neither in FanOut nor in backward"
        raise ValueError(f"{one_line(weighting)} works {where}, not at level {level!r}: {weighting.why_not}")
    if getattr(weighting, "needs_rows", False):
        fits = {
            "heads='own'": heads == "own",
            "every=1": every == 1,
            "memory='store'": memory == "store",
            "process_group=None": not ranks.active,
        }
        if not all(fits.values()):
            expected = ", ".join(option for option, given in fits.items() if not given)
            raise ValueError(f"{one_line(weighting)} combines gradients coordinate by coordinate, expected {expected}")


def weights_of(weighting: Weighting | Callable[[Tensor], Tensor], step: Step) -> Tensor:
    """Weights [P], one finite number for each task that took part.

    Raises:
        ValueError: if the weighting returns something else, or needs losses that are not known.
    """
    if isinstance(weighting, Weighting):
        if weighting.needs_losses:
            needed(step.losses, weighting)
        weighting.bind(step.tasks)
        given = weighting.weigh(step)
    else:
        given = weighting(step.gram)
    try:
        weights = torch.as_tensor(given).detach().to(step.gram.dtype)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"weighting {one_line(weighting)} returned a {type(given).__name__}, expected [{len(step.gram)}] weights: "
            "does it end with return?"
        ) from None
    if weights.shape != step.gram.shape[:1]:
        raise ValueError(
            f"weighting {one_line(weighting)} returned shape {list(weights.shape)}, expected [{len(step.gram)}], one "
            "weight for each task that took part in this backward pass"
        )
    if weights.device.type == "cpu" and not all(map(math.isfinite, weights.tolist())):
        raise ValueError(f"weighting {one_line(weighting)} returned {weights.tolist()}, expected finite weights")
    return weights
