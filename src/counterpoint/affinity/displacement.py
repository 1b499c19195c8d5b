"""Where a step on one task alone takes the shared parameters."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.optim import Optimizer

    from counterpoint.affinity.gradients import Row

Rule = Literal["sgd", "preconditioned", "optimizer"]
LearningRate = float | Tensor


class Displacement(Protocol):
    """A rule by which a step is made of a gradient."""

    def moved(self, row: Row) -> list[Tensor]:
        """The shared parameters after a step along the gradient, new tensors."""


class Diagonal:
    """theta - D g with D positive and diagonal: plain SGD, or preconditioned by an optimizer's second moments.

    Args:
        parameters: The shared parameters.
        factors: D for each parameter: a number, or a tensor of its shape.
    """

    def __init__(self, parameters: Sequence[Tensor], factors: Sequence[float | Tensor]) -> None:
        self.parameters = parameters
        self.factors = factors

    @property
    def everywhere(self) -> float | None:
        """D, where it is one number."""
        first = self.factors[0]
        same = not isinstance(first, Tensor) and all(
            not isinstance(factor, Tensor) and factor == first for factor in self.factors
        )
        return float(first) if same else None

    def moved(self, row: Row) -> list[Tensor]:
        """The shared parameters after the step."""
        return [
            p.detach().clone() if g is None else p.detach() - factor * g
            for p, g, factor in zip(self.parameters, row, self.factors, strict=True)
        ]

    def halved(self, row: Row) -> Row:
        """sqrt(D) g: inner products of such vectors are <g_i, D g_j>."""
        roots = (factor**0.5 for factor in self.factors)
        return [None if g is None else root * g for g, root in zip(row, roots, strict=True)]


class NextStep:
    """The optimizer's own next step, if this were its gradient: momentum, weight decay, moments, learning rates.

    The step is made by a shadow: an optimizer of the same class, on copies of the shared parameters, with copies of
    their state. The user's optimizer is only read.

    Args:
        parameters: The shared parameters.
        optimizer: The optimizer that trains them.
    """

    def __init__(self, parameters: Sequence[Tensor], optimizer: Optimizer) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        _check_holds(optimizer, parameters)

    def moved(self, row: Row) -> list[Tensor]:
        """The shared parameters after the step; one without a gradient stays where it is.

        Raises:
            ValueError: if the optimizer needs to evaluate the loss within its step, as LBFGS does.
        """
        shadows = [torch.nn.Parameter(parameter.detach().clone()) for parameter in self.parameters]
        for shadow, gradient in zip(shadows, row, strict=True):
            shadow.grad = None if gradient is None else gradient.detach().to(shadow.dtype).clone()
            if shadow.grad is not None and isinstance(self.optimizer, torch.optim.SparseAdam):
                shadow.grad = shadow.grad.to_sparse(1)  # it takes no other, and leaves rows without an entry alone
        optimizer = self._shadow(shadows)
        kind = type(self.optimizer)
        step = kind.step
        while getattr(step, "hooked", False):  # what hooks on all optimizers hear of is the user's steps alone
            step = step.__wrapped__  # type: ignore[attr-defined]
        try:
            step(optimizer)
        except TypeError as error:
            if "closure" not in str(error):
                raise
            raise ValueError(
                f"{kind.__name__} evaluates the loss within its step, expected an optimizer that does not: "
                "use rule='sgd'"
            ) from None
        return [shadow.detach() for shadow in shadows]

    def _shadow(self, shadows: Sequence[Tensor]) -> Optimizer:
        source = self.optimizer
        shadow_of = {id(parameter): shadow for parameter, shadow in zip(self.parameters, shadows, strict=True)}
        shadow: Optimizer = type(source).__new__(type(source))
        # Learning rate schedulers replace step on the instance; hooks are the user's.
        shadow.__dict__.update({k: v for k, v in source.__dict__.items() if k != "step" and "hook" not in k})
        groups = []
        for group in source.param_groups:
            members = [shadow_of[id(p)] for p in group["params"] if id(p) in shadow_of]
            if members:
                rest = {
                    key: copy.deepcopy(value) for key, value in group.items() if key not in {"params", "param_names"}
                }
                groups.append({**rest, "params": members})
        state: dict[Any, Any] = defaultdict(dict)
        for parameter in self.parameters:
            if parameter in source.state:
                state[shadow_of[id(parameter)]] = copy.deepcopy(source.state[parameter])
        shadow.__setstate__({"defaults": dict(source.defaults), "param_groups": groups, "state": state})
        return shadow


def unwrapped(optimizer: Optimizer | None) -> Optimizer | None:
    """The optimizer within a wrapper whose step does more, such as Lightning's ``self.optimizers()``."""
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, torch.optim.Optimizer) else optimizer


def displacement(
    rule: Rule, parameters: Sequence[Tensor], lr: LearningRate | None, optimizer: Optimizer | None
) -> Displacement | None:
    """The rule by its name; ``None`` while the optimizer has no moments yet.

    Raises:
        ValueError: if the rule needs more than there is.
    """
    if rule == "sgd" or optimizer is None:
        return Diagonal(parameters, learning_rates(parameters, lr, optimizer))
    if rule == "optimizer":
        return NextStep(parameters, optimizer)
    rates = learning_rates(parameters, lr, optimizer)
    scales = preconditioners(parameters, optimizer)
    if scales is None:
        return None
    return Diagonal(parameters, [rate * scale for rate, scale in zip(rates, scales, strict=True)])


def learning_rates(
    parameters: Sequence[Tensor] | None, lr: LearningRate | None, optimizer: Optimizer | None
) -> list[float]:
    """The learning rate of each parameter, or of each of the optimizer's groups.

    Raises:
        ValueError: if nobody says, or it is not a finite number of at least 0.
    """
    if lr is not None:
        rates = [float(lr)] * (1 if parameters is None else len(parameters))
    elif optimizer is None:
        raise ValueError("lr is missing, expected the learning rate, or optimizer= to take it from")
    elif parameters is None:
        rates = [_rate(group, optimizer) for group in optimizer.param_groups]
    else:
        _check_holds(optimizer, parameters)
        of = {id(p): _rate(group, optimizer) for group in optimizer.param_groups for p in group["params"]}
        rates = [of[id(parameter)] for parameter in parameters]
    for rate in rates:
        if not 0 <= rate < float("inf"):
            raise ValueError(f"lr={rate}, expected a finite number of at least 0")
    return rates


def _rate(group: dict[str, Any], optimizer: Optimizer) -> float:
    if "lr" not in group:
        raise ValueError(
            f"{type(optimizer).__name__} has param groups without 'lr', expected lr= to say how far to step"
        )
    return float(group["lr"])


def one_rate(rates: Sequence[float]) -> float:
    """The learning rate, where it is one.

    Raises:
        ValueError: if there are several.
    """
    if len(set(rates)) > 1:
        raise ValueError(f"the optimizer's learning rates are {sorted(set(rates))}, expected lr= to say which to use")
    return rates[0]


def preconditioners(parameters: Sequence[Tensor], optimizer: Optimizer) -> list[Tensor] | None:
    """1 / (sqrt(v) + eps) for each parameter, v the second moment that the optimizer holds, corrected for its start.

    Returns:
        ``None`` before the optimizer's first step.

    Raises:
        ValueError: if the optimizer has no second moments.
    """
    _check_holds(optimizer, parameters)
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    states = [optimizer.state.get(parameter, {}) for parameter in parameters]
    if not any(states):
        group = group_of[id(parameters[0])]
        if "betas" in group or "alpha" in group:  # those of Adam and RMSprop
            return None
    found = [_preconditioner(p, state, group_of[id(p)]) for p, state in zip(parameters, states, strict=True)]
    if all(one is None for one in found):
        raise ValueError(
            f"{type(optimizer).__name__} holds no second moment for each number, expected an optimizer such as Adam: "
            "use rule='sgd', or rule='optimizer' for its own next step"
        )
    # What has never had a gradient has no step size yet.
    return [torch.zeros_like(p) if one is None else one for p, one in zip(parameters, found, strict=True)]


def _preconditioner(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor | None:
    """``None`` where there is no second moment for each number, used as Adam and RMSprop use theirs."""
    eps = group.get("eps", 0.0)
    # Adafactor keeps moments of rows and columns and two eps; Adadelta has a numerator of its own.
    if "step" not in state or "acc_delta" in state or not isinstance(eps, (int, float, Tensor)):
        return None
    if "exp_avg_sq" in state and state["exp_avg_sq"].shape == parameter.shape and "betas" in group:
        second: Tensor = state.get("max_exp_avg_sq", state["exp_avg_sq"])
        correction: float = 1.0 - float(group["betas"][1]) ** float(state["step"])
        return 1.0 / ((second / correction).sqrt() + float(eps))
    if "square_avg" in state:
        square: Tensor = state["square_avg"]
        if "grad_avg" in state:  # centred
            square = square - state["grad_avg"] ** 2
        return 1.0 / (square.sqrt() + float(eps))
    return None


def _check_holds(optimizer: Optimizer, parameters: Sequence[Tensor]) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [p for p in parameters if id(p) not in held]
    if missing:
        raise ValueError(
            f"a shared parameter of shape {list(missing[0].shape)} is not among the optimizer's, expected the "
            "optimizer that trains all shared parameters"
        )
