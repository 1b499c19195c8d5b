"""Balancing as a function, at feature or at parameter level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from counterpoint.balancing.blockwise import Memory, Plan
from counterpoint.balancing.combine import Balance, OnNonfinite, StepContext, record
from counterpoint.balancing.feature_level import at_features
from counterpoint.balancing.first_steps import FirstSteps
from counterpoint.balancing.layout import HeadGradients, checked_scaler, live_features
from counterpoint.balancing.losses import checked_losses
from counterpoint.balancing.parameter_level import at_parameters
from counterpoint.balancing.ranks import Group, Ranks
from counterpoint.balancing.reuse import Reuse
from counterpoint.balancing.task_gradients import FeatureGradients, ParameterGradients
from counterpoint.balancing.weigh import Level, accept
from counterpoint.balancing.weightings.weighting import Length, Weighting
from counterpoint.names import checked_names, one_of
from counterpoint.parameters import trainable_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from counterpoint.balancing.step_record import StepRecord
    from counterpoint.parameters import Given

# backward is a function: what it knows of earlier calls is kept with the weighting object.
_reuses: WeakKeyDictionary[object, Reuse] = WeakKeyDictionary()
_checks: WeakKeyDictionary[object, FirstSteps] = WeakKeyDictionary()


def backward(
    losses: Mapping[str, Tensor],
    weighting: Weighting | Callable[[Tensor], Tensor],
    *,
    features: Tensor | Sequence[Tensor] | None = None,
    shared: Given | None = None,
    heads: HeadGradients = "own",
    tasks: Sequence[str] | None = None,
    every: int = 1,
    scale: float = 1.0,
    memory: Memory = "store",
    max_bytes: int | None = None,
    process_group: Group | Literal["world"] | None = None,
    grad_scaler: torch.amp.GradScaler | None = None,
    on_nonfinite: OnNonfinite = "raise",
    length: Length | None = None,
) -> StepRecord:
    r"""Adds balanced gradients to ``.grad``: instead of ``sum(losses).backward()``, where a FanOut does not fit.

    - ``features=z``: the tasks' gradients are compared at the encoder's output. One pass through each head, one through
      the encoder, as with :class:`FanOut`.
    - ``shared=encoder.parameters()``: they are compared at the shared parameters, exactly as in Sener & Koltun 2018,
      Eq. 3. T passes through the encoder.

    All other leaves that a loss depends on are its head: their gradients are added unscaled, or times the task's
    weight. Parameters may be frozen, tied, used by some tasks only, or given as an optimizer's param groups. Gradients
    are added: under gradient accumulation each call has its own weights, unless ``every`` keeps them.

    The encoder's graph is freed, as by ``Tensor.backward``. Gradients of heads, and at parameter level all, are written
    to ``.grad`` directly: hooks that wait for a parameter's gradient (an optimizer in backward, DDP) see them only with
    a ``process_group``.

    Args:
        losses: The scalar loss of each task that has one for this batch.
        weighting: A :class:`Weighting`, or any callable from a Gram matrix [T, T] to T weights.
        features: What the heads computed with, a tensor [B, ...] or several.
        shared: The module that holds the shared parameters, the parameters, one of them, or param groups of an
            optimizer.
        heads: ``"own"`` or ``"weighted"``, see above.
        tasks: Names of all T tasks, where some may lack labels; needed with ``process_group`` and for weightings that
            learn. Default: those of ``losses``.
        every: New weights every n-th call with this weighting object; in between, parameter level costs one pass.
        scale: What the losses are multiplied by: 1/n under gradient accumulation over n micro-batches.
        memory: ``"store"`` keeps T gradients; ``"recompute"`` gathers the Gram matrix block by block from at most
            ``max_bytes`` of task gradients, then makes one weighted pass. Same result, for about T^2 / (2 m) passes if
            m + 1 gradients fit: through the heads alone at feature level.
        max_bytes: For ``"recompute"``; default two task gradients, the least.
        process_group: The ranks that train together (``"world"`` for all): the weights are those of the joined batch.
            Averaging ``.grad`` stays with DDP, whose hooks see one ordinary backward pass. Every rank has to call, one
            without labels with ``losses={}``.
        grad_scaler: A GradScaler; give the unscaled losses. Non-finite gradients then propagate.
        on_nonfinite: As for :class:`FanOut`; ``"skip"`` keeps a skipped task's head unchanged, too. It is the gradient
            of what is shared that is looked at.
        length: As for :class:`FanOut`: ``"sum"`` makes the shared update as long as the gradient of the plain sum.

    Returns:
        Weights and Gram matrix; at parameter level the latter is NaN in calls that used weights again.

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
    one_of("on_nonfinite", on_nonfinite, get_args(OnNonfinite))
    one_of("memory", memory, get_args(Memory))
    one_of("heads", heads, get_args(HeadGradients))
    if length is not None:
        one_of("length", length, get_args(Length))
    checked_scaler(grad_scaler)
    if not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
        raise ValueError(f"scale={scale!r}, expected a positive number such as 1/n under gradient accumulation")
    if (features is None) == (shared is None):
        given = "neither features nor shared is" if shared is None else "both features and shared are"
        raise ValueError(f"{given} given, expected features=z or shared=encoder.parameters(), the level of comparison")
    if max_bytes is not None and memory == "store":
        raise ValueError(f"max_bytes={max_bytes} with memory='store', expected memory='recompute', which it bounds")
    ranks = Ranks(process_group)
    names = _names(losses, tasks, ranks)
    ranks.compare(names, once=True)
    values = checked_losses(losses, names)
    level: Level = "features" if shared is None else "parameters"
    weighting = accept(weighting, level, heads=heads, every=every, ranks=ranks, memory=memory, tasks=names)
    balance = Balance(
        weighting,
        names,
        on_nonfinite,
        ranks,
        _reuse_of(weighting, every),
        length or getattr(weighting, "length", None),
        grad_scaler is not None and grad_scaler.is_enabled(),
        _checks_of(weighting),
    )
    known = {task: loss.detach() for task, loss in values.items()}
    if scale != 1.0:
        values = {task: loss * scale for task, loss in values.items()}
    if grad_scaler is not None:  # one that is off multiplies by 1
        values = {task: grad_scaler.scale(loss) for task, loss in values.items()}
        scale *= grad_scaler.get_scale()
    context = StepContext(known, scale)
    if not values and not ranks.active:
        nothing = torch.zeros(0, dtype=torch.float64)
        return record(names, (), nothing, nothing.reshape(0, 0), ())
    if shared is None:
        forks = live_features(features)
        plan = Plan(memory, max_bytes)
        return at_features(FeatureGradients(values, forks), balance, context, weighted=heads == "weighted", plan=plan)
    gradients = ParameterGradients(values, trainable_parameters("shared", shared))
    return at_parameters(gradients, balance, context, weighted=heads == "weighted", plan=Plan(memory, max_bytes))


def _names(losses: Mapping[str, Tensor], tasks: Sequence[str] | None, ranks: Ranks) -> tuple[str, ...]:
    """Names of all tasks, from the losses if need be."""
    if not hasattr(losses, "items"):
        kind = type(losses).__name__
        raise TypeError(f"losses are a {kind}, expected a mapping such as {{'a': loss_a, 'b': loss_b}}")
    if tasks is not None:
        return checked_names(tasks)
    if ranks.active:
        raise ValueError("process_group without tasks, expected tasks=[...] with the names of all: labels may lack")
    if not losses:
        raise ValueError("losses is empty, expected the loss of at least one task")
    return checked_names(tuple(losses))


def _reuse_of(weighting: object, every: int) -> Reuse:
    """The weights that this weighting computed last, if they are to be kept."""
    reuse = Reuse(every)
    if every > 1:
        if not isinstance(weighting, Weighting):
            raise TypeError(f"every={every} with {weighting!r}, expected a Weighting: the weights are kept with it")
        known = _reuses.get(weighting)
        if known is None or known.every != every:
            _reuses[weighting] = known = reuse
        reuse = known
    reuse.begin()
    return reuse


def _checks_of(weighting: object) -> FirstSteps:
    """What has been said of this weighting already."""
    try:
        return _checks.setdefault(weighting, FirstSteps())
    except TypeError:  # a callable that cannot be referred to weakly, or cannot be hashed
        return FirstSteps()
