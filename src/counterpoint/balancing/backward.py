"""Balancing as a function, at feature or at parameter level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from counterpoint.balancing.combine import Balance, OnNonfinite, Told
from counterpoint.balancing.feature_level import at_features
from counterpoint.balancing.layout import checked_names, checked_tensors
from counterpoint.balancing.losses import checked_losses
from counterpoint.balancing.parameter_level import Memory, at_parameters
from counterpoint.balancing.ranks import Group, Ranks
from counterpoint.balancing.reuse import Reuse
from counterpoint.balancing.weigh import accept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from counterpoint.balancing.step_record import StepRecord
    from counterpoint.balancing.weightings.weighting import Weighting

_reuses: WeakKeyDictionary[object, Reuse] = WeakKeyDictionary()


def backward(
    losses: Mapping[str, Tensor],
    weighting: Weighting | Callable[[Tensor], Tensor],
    *,
    features: Tensor | Sequence[Tensor] | None = None,
    shared: Iterable[Tensor] | Iterable[dict[str, object]] | None = None,
    heads: Literal["own", "weighted"] = "own",
    tasks: Sequence[str] | None = None,
    every: int = 1,
    scale: float = 1.0,
    memory: Literal["store", "recompute"] = "store",
    max_bytes: int | None = None,
    process_group: Group | Literal["world"] | None = None,
    grad_scaler: torch.amp.GradScaler | None = None,
    on_nonfinite: OnNonfinite = "raise",
) -> StepRecord:
    r"""Adds balanced gradients to ``.grad``: instead of ``sum(losses).backward()``, where a FanOut does not fit.

    - ``features=z``: the tasks' gradients are compared at the encoder's output. One pass through each head, one through
      the encoder, as with :class:`FanOut`.
    - ``shared=encoder.parameters()``: they are compared at the shared parameters, exactly as in Sener & Koltun 2018,
      Eq. 3. T passes through the encoder. With ``features`` too, the fork is known and two tasks cost less.

    All other leaves that a loss depends on are its head: their gradients are added unscaled, or times the task's weight.
    Parameters may be frozen, tied, used by some tasks only, or given as an optimizer's param groups. Gradients are added:
    under gradient accumulation each call has its own weights, unless ``every`` keeps them.

    Args:
        losses: The scalar loss of each task that has one for this batch.
        weighting: A :class:`Weighting`, or any callable from a Gram matrix [T, T] to T weights.
        features: What the heads computed with, a tensor [B, ...] or several.
        shared: Parameters, or param groups of an optimizer.
        heads: ``"own"`` or ``"weighted"``, see above.
        tasks: Names of all T tasks, where some may lack labels; needed with ``process_group`` and for weightings that
            learn. Default: those of ``losses``.
        every: New weights every n-th call with this weighting; in between, parameter level costs one pass.
        scale: What the losses are multiplied by: 1/n under gradient accumulation over n micro-batches.
        memory: For parameter level: ``"store"`` keeps T gradients; ``"recompute"`` gathers the Gram matrix block by
            block from at most ``max_bytes`` of task gradients, then makes one weighted pass. Same result.
        max_bytes: For ``"recompute"``; default two task gradients, the least.
        process_group: The ranks that train together (``"world"`` for all): the weights are those of the joined batch.
            Averaging ``.grad`` stays with DDP, whose hooks see one ordinary backward pass. Every rank has to call, one
            without labels with ``losses={}``.
        grad_scaler: A GradScaler; give the unscaled losses. Non-finite gradients then propagate.
        on_nonfinite: As for :class:`FanOut`; ``"skip"`` keeps a skipped task's head unchanged, too.

    Returns:
        Weights and Gram matrix; the Gram matrix is NaN in calls that used weights again.

    Raises:
        ValueError: for a loss that is not a scalar, not connected to what is shared, on another device than the others,
            or of an unknown task; if neither ``features`` nor ``shared`` is given; for options out of range.
        TypeError: if something is not a tensor or the weighting not callable.
        NonFiniteGradientError: see ``on_nonfinite``. No ``.grad`` has been touched when an error is raised.

    Example:
        >>> from torch import nn
        >>> from counterpoint import MGDA, backward
        >>> _ = torch.manual_seed(0)
        >>> encoder, heads = nn.Linear(4, 3), {"a": nn.Linear(3, 1), "b": nn.Linear(3, 1)}
        >>> z = encoder(torch.randn(8, 4))
        >>> losses = {task: head(z).square().mean() for task, head in heads.items()}
        >>> record = backward(losses, MGDA(), shared=encoder.parameters())
        >>> round(float(record.weights.sum()), 6)
        1.0
    """
    for name, option, kind in (("on_nonfinite", on_nonfinite, OnNonfinite), ("memory", memory, Memory)):
        if option not in get_args(kind):
            raise ValueError(f"{name}={option!r} is unknown, expected {', '.join(get_args(kind))}")
    if heads not in {"own", "weighted"}:
        raise ValueError(f"heads={heads!r} is unknown, expected own, weighted")
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale={scale!r}, expected a positive number such as 1/n under gradient accumulation")
    if features is None and shared is None:
        raise ValueError("neither features nor shared is given, expected features=z or shared=encoder.parameters()")
    ranks = Ranks(process_group)
    if ranks.active and tasks is None:
        raise ValueError(
            "process_group without tasks, expected tasks=[...] with the names of all: ranks may lack labels"
        )
    if not hasattr(losses, "items"):
        raise TypeError(
            f"losses are a {type(losses).__name__}, expected a mapping such as {{'a': loss_a, 'b': loss_b}}"
        )
    if tasks is None and not losses:
        raise ValueError("losses is empty, expected the loss of at least one task")
    names = checked_names(tuple(losses) if tasks is None else tasks)
    values = checked_losses(losses, names)
    accept(weighting, names, "features" if shared is None else "parameters")
    needs_rows = getattr(weighting, "needs_rows", False)
    if needs_rows and (heads == "weighted" or memory == "recompute" or every > 1):
        raise ValueError(
            f"{weighting} combines gradients coordinate by coordinate, expected heads='own', memory='store', every=1"
        )
    scaled = grad_scaler is not None and grad_scaler.is_enabled()
    if scaled and grad_scaler is not None:
        scale = scale * grad_scaler.get_scale()
        on_nonfinite = "propagate" if on_nonfinite == "raise" else on_nonfinite
    balance = Balance(weighting, names, on_nonfinite, ranks, _reuse_of(weighting, every))
    told = Told({task: loss.detach() for task, loss in values.items()}, scale)
    if scale != 1.0:
        values = {task: loss * scale for task, loss in values.items()}
    forks = () if features is None else _live(checked_tensors(features), "features")
    if shared is None:
        return at_features(values, forks, balance, told, weighted=heads == "weighted")
    parameters = _live(_distinct(shared), "shared parameters")
    plan = (memory, max_bytes)
    return at_parameters(values, parameters, forks, balance, told, weighted=heads == "weighted", plan=plan)


def _reuse_of(weighting: object, every: int) -> Reuse:
    """The weights that this weighting computed last, if they are to be kept."""
    fresh = Reuse(every)
    if every == 1:
        return fresh
    known = _reuses.get(weighting)
    if known is None or known.every != every:
        _reuses[weighting] = known = fresh
    return known


def _distinct(shared: Iterable[Tensor] | Iterable[dict[str, object]]) -> tuple[Tensor, ...]:
    """Parameters, each once, from parameters or param groups."""
    if isinstance(shared, Tensor):
        raise TypeError("shared is a tensor, expected parameters such as encoder.parameters()")
    found: dict[int, Tensor] = {}
    for item in shared:
        group = item["params"] if isinstance(item, dict) else [item]
        for parameter in group:  # type: ignore[attr-defined]
            if not isinstance(parameter, Tensor):
                raise TypeError(f"shared holds a {type(parameter).__name__}, expected parameters or param groups")
            if not parameter.is_leaf:
                raise ValueError(
                    "shared holds a tensor that is not a leaf, expected parameters; give features as features="
                )
            found[id(parameter)] = parameter
    return tuple(found.values())


def _live(tensors: Sequence[Tensor], what: str) -> tuple[Tensor, ...]:
    """Those that require gradients: frozen ones take no part."""
    live = tuple(tensor for tensor in tensors if tensor.requires_grad)
    if not live:
        raise ValueError(f"none of the {what} requires grad, expected at least one that is trained")
    return live
