"""Asking a weighting: whether it fits, and for weights."""

from __future__ import annotations

import contextlib
import copy
import math
import types
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from counterpoint.balancing.notice import notice
from counterpoint.balancing.weightings.weighting import Length, Weighting, needed, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.balancing.layout import HeadGradients
    from counterpoint.balancing.ranks import Ranks
    from counterpoint.balancing.step import Step

Level = Literal["features", "parameters"]

# Inner products of fp32 gradients are right to about this share of the norms' product. A combination of T gradients
# whose square is smaller than T times that is made of rounding errors, and has no direction to be stretched.
_ROUNDING = torch.finfo(torch.float32).eps
# Callables that were looked at: what stands for them, or that they are weightings as they are.
_known: WeakKeyDictionary[object, Weighting | bool] = WeakKeyDictionary()


def accept(
    weighting: Weighting | Callable[[Tensor], Tensor],
    level: Level,
    *,
    heads: HeadGradients,
    every: int,
    ranks: Ranks,
    memory: str = "store",
    tasks: Sequence[str] = (),
) -> Weighting | Callable[[Tensor], Tensor]:
    """Refuses what is no weighting, or none for this level and these options.

    Returns:
        The weighting, one of ours where TorchJD's own object was given.

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
    if not isinstance(weighting, Weighting):
        weighting = _recognized(weighting, tuple(tasks))
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
    return weighting


def _recognized(given: Callable[[Tensor], Tensor], tasks: tuple[str, ...]) -> Weighting | Callable[[Tensor], Tensor]:
    """Any callable may be a weighting, and another library's takes something else: each is looked at once."""
    try:
        known = _known.get(given)
    except TypeError:  # cannot be referred to weakly, or cannot be hashed
        known = None
    if known is not None:
        return known if isinstance(known, Weighting) else given
    if any(base.__module__.partition(".")[0] == "torchjd" for base in type(given).__mro__):
        from counterpoint.balancing.weightings.torchjd_given import of_torchjd  # noqa: PLC0415

        found: Weighting | Callable[[Tensor], Tensor] = of_torchjd(given)
    else:
        if tasks:
            _check_answer(given, tasks)
        found = given
    with contextlib.suppress(TypeError):
        _known[given] = found if isinstance(found, Weighting) else True
    return found


def _check_answer(given: Callable[[Tensor], Tensor], tasks: tuple[str, ...]) -> None:
    """Asks a callable for the weights of a matrix that is known, and of one that is no Gram matrix.

    The first tells before training what it returns, the second whether it takes its argument for a Jacobian, whose
    columns it combines. What it remembers must not be touched: an object is copied, a closure is not asked.

    Raises:
        ValueError: if it does not return one finite number a task.
    """
    copied = given
    if getattr(given, "__closure__", None) is not None or hasattr(given, "__self__"):
        return
    if not isinstance(given, types.FunctionType):
        try:
            copied = copy.deepcopy(given)
        except Exception:  # noqa: BLE001  (whatever it holds)
            return
    T = len(tasks)
    gram = torch.diag(torch.arange(1.0, T + 1, dtype=torch.float64)) + 0.25
    jacobian = torch.cat([gram, torch.ones(T, 1, dtype=torch.float64)], dim=1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            answer = copied(gram)
        except Exception:  # noqa: BLE001  (it may be made for other matrices; each step says what is wrong)
            return
        _checked_weights(answer, given, gram)
        columns = None
        with contextlib.suppress(Exception):  # most weightings want a square matrix
            columns = torch.as_tensor(copied(jacobian)).shape
    if columns == (T + 1,):
        notice(
            f"weighting {one_line(given)} combines the columns of its argument, as an aggregator of a Jacobian does: "
            "expected weights from the Gram matrix [T, T], one for each row"
        )


def stretched(weights: Tensor, gram: Tensor, length: Length | None) -> Tensor:
    """Weights of an update of another length.

    Args:
        weights: [P] as the weighting gives them.
        gram: [P, P] inner products of the gradients.
        length: ``"sum"`` for the norm of the gradients' plain sum; ``None`` leaves them as they are.

    Returns:
        [P], on the weights' device; unchanged where the weighted sum is zero but for rounding, as it is at a
        Pareto-stationary point under MGDA.

    Example:
        >>> stretched(torch.tensor([0.5, 0.5]), torch.eye(2), "sum")
        tensor([1., 1.])
    """
    if length is None:
        return weights
    on_grams = weights.to(gram)
    own = on_grams @ gram @ on_grams
    noise = len(weights) * _ROUNDING * (on_grams.square() @ gram.diagonal())
    return weights * length_factor(own, gram, noise).to(weights)


def length_factor(own: Tensor, gram: Tensor, noise: Tensor) -> Tensor:
    """What an update is to be multiplied by to be as long as the plain sum of the gradients.

    Args:
        own: Its squared norm, a scalar.
        gram: [P, P] inner products of the gradients.
        noise: What a squared norm has to exceed to be more than rounding errors.
    """
    ratio = gram.sum().clamp_min(0.0) / torch.where(own > noise, own, 1.0)
    return torch.where(own > noise, ratio.sqrt(), 1.0)


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
    return _checked_weights(given, weighting, step.gram)


def _checked_weights(given: object, weighting: object, gram: Tensor) -> Tensor:
    """What a weighting returned for a Gram matrix [P, P], as a tensor [P] of finite numbers."""
    try:
        weights = torch.as_tensor(given).detach().to(gram.dtype)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"weighting {one_line(weighting)} returned a {type(given).__name__}, expected [{len(gram)}] weights: "
            "does it end with return?"
        ) from None
    if weights.shape != gram.shape[:1]:
        raise ValueError(
            f"weighting {one_line(weighting)} returned shape {list(weights.shape)}, expected [{len(gram)}], one "
            "weight for each task that took part in this backward pass"
        )
    if weights.device.type == "cpu" and not all(map(math.isfinite, weights.tolist())):
        raise ValueError(f"weighting {one_line(weighting)} returned {weights.tolist()}, expected finite weights")
    return weights
