"""Heads whose gradients are multiplied by their task's weight, in one ordinary backward pass."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.names import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Defer(torch.autograd.Function):
    """Parameters of a head, and a token; backward multiplies their gradients by the token's, the task's weight."""

    @staticmethod
    def forward(ctx: Any, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Stand-ins, and the token, in at least fp32: scale-free weightings may give large ones."""
        ctx.set_materialize_grads(False)
        dtype = torch.promote_types(parameters[0].dtype, torch.float32)
        return *(parameter.view_as(parameter) for parameter in parameters), parameters[0].new_zeros((), dtype=dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ARG004
        """Weighted gradients; as they are, where the head did not look at the features."""
        *own, weight = gradients
        if weight is None:
            return tuple(own)
        # Zero is also the weight of a skipped task, whose gradients may hold NaN.
        return tuple(None if g is None else _times(g, weight) for g in own)


def _times(gradient: Tensor, weight: Tensor) -> Tensor:
    product = (gradient.to(torch.promote_types(gradient.dtype, weight.dtype)) * weight).to(gradient.dtype)
    return torch.where(weight == 0, torch.zeros_like(gradient), product)


@dataclass
class _Place:
    """Where a parameter is used, and its stand-in."""

    module: nn.Module
    name: str
    parameter: Tensor
    stand_in: Tensor
    storage: int

    @property
    def valid(self) -> bool:
        """Whether the module still computes with that very parameter: users swap, replace, move and freeze them."""
        now = self.module._parameters.get(self.name)  # noqa: SLF001  (where a module keeps them)
        return now is self.parameter and now.requires_grad and now.data_ptr() == self.storage


@dataclass
class Loan:
    """The stand-ins that belong to one use of the FanOut.

    Attributes:
        tokens: One for each task.
    """

    tokens: list[Tensor] = field(default_factory=list)
    places: dict[str, list[_Place]] = field(default_factory=dict)
    copies: list[weakref.ref[Tensor]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether anybody still holds features of this use."""
        return any(copy() is not None for copy in self.copies)


class WeightedHeads:
    """Lends heads copies of their parameters whose gradients wait for the weights.

    A head's gradients are ready before the weights are known. So each head computes with stand-ins of its parameters,
    made by a node whose backward needs two things: the parameters' gradients, and a token's, which the FanOut sends it
    and which is the weight. The parameters then receive weighted gradients, once, as from any backward pass: gradient
    accumulation, hooks, DDP and gradient scalers see nothing unusual, and a parameter that two heads share receives
    each head's part with its own weight.

    Heads are matched with the use of the FanOut whose features they are called with. Called with something else, they
    belong to the latest use; after its backward pass they are ordinary modules. Not weighted is what a head computes
    outside its own ``forward``: with its parameters directly, or again in a reentrant checkpoint.

    Args:
        heads: The head of each task.
        tasks: Names of all tasks.

    Raises:
        ValueError: for an unknown task, a task without a head, or one module in the heads of two tasks.
        TypeError: if a head is not a module.
    """

    def __init__(self, heads: Mapping[str, nn.Module], tasks: Sequence[str]) -> None:
        for task, head in heads.items():
            known(task, tasks)
            if not isinstance(head, nn.Module):
                raise TypeError(f"head of task {task!r} is {type(head).__name__}, expected an nn.Module")
        if missing := [task for task in tasks if task not in heads]:
            raise ValueError(
                f"task {missing[0]!r} has no head, expected head_modules with one for each of {list(tasks)}"
            )
        modules = {task: {id(module) for module in head.modules()} for task, head in heads.items()}
        for task, head in heads.items():
            if other := next((name for name in heads if name != task and id(head) in modules[name]), None):
                raise ValueError(
                    f"tasks {task!r} and {other!r} share one head module, expected a module for each with "
                    "heads='weighted': its gradients cannot be told apart; use heads='own'"
                )
        self.heads = dict(heads)
        self._loans: list[Loan] = []
        self._kept: dict[str, list[tuple[nn.Module, str, Tensor | None]]] = {}
        self._hooks = [hook for task, head in self.heads.items() for hook in self._hooked(task, head)]

    def _hooked(self, task: str, head: nn.Module) -> tuple[Any, Any]:
        lend = head.register_forward_pre_hook(_Lend(self, task), with_kwargs=True)
        return lend, head.register_forward_hook(_GiveBack(self, task), always_call=True)

    def open(self, tasks: Sequence[str]) -> Loan:
        """Makes stand-ins for the heads' next calls."""
        self._loans = [loan for loan in self._loans if loan.alive]
        loan = Loan()
        for task in tasks:
            used = [
                (module, name, parameter)
                for module in self.heads[task].modules()
                for name, parameter in module._parameters.items()  # noqa: SLF001
                if parameter is not None and parameter.requires_grad
            ]
            distinct = list({id(parameter): parameter for _, _, parameter in used}.values())
            if any(hasattr(parameter, "device_mesh") for parameter in distinct):
                raise ValueError(
                    f"the head of task {task!r} is sharded, expected whole parameters with heads='weighted': leave the "
                    "heads out of fully_shard, or use heads='own'"
                )
            if not distinct:
                loan.tokens.append(torch.zeros(()))
                continue
            *copies, token = Defer.apply(*distinct)  # type: ignore[no-untyped-call]
            copy_of = {id(parameter): copy for parameter, copy in zip(distinct, copies, strict=True)}
            loan.places[task] = [
                _Place(module, name, parameter, copy_of[id(parameter)], parameter.data_ptr())
                for module, name, parameter in used
            ]
            loan.tokens.append(token)
        return loan

    def grant(self, loan: Loan, copies: Sequence[Tensor]) -> None:
        """Lends to the heads that get these features, or something made of the latest ones."""
        loan.copies = [weakref.ref(copy) for copy in copies]
        self._loans.append(loan)

    def end(self, loan: Loan) -> None:
        """After the backward pass heads compute with their own parameters again."""
        self._loans = [other for other in self._loans if other is not loan]

    def lend(self, task: str, inputs: object) -> None:
        """Before a head's forward."""
        self._kept[task] = []
        loans = [loan for loan in self._loans if task in loan.places] if torch.is_grad_enabled() else []
        if not loans:
            return
        given = {id(tensor) for tensor in _tensors(inputs)}
        exact = [loan for loan in loans if any(id(copy()) in given for copy in loan.copies)]
        for place in (exact or loans)[-1].places[task]:
            if place.valid:
                self._kept[task].append((place.module, place.name, place.parameter))
                _put(place.module, place.name, place.stand_in)

    def give_back(self, task: str) -> None:
        """After it, also when it raised."""
        for module, name, parameter in self._kept.pop(task, ()):
            _put(module, name, parameter)

    def __getstate__(self) -> dict[str, Any]:
        """Without stand-ins: parts of a graph can be neither copied nor saved."""
        return self.__dict__ | {"_loans": [], "_kept": {}, "_hooks": []}


class _Lend:
    """A hook that can be copied and pickled with its module."""

    def __init__(self, heads: WeightedHeads, task: str) -> None:
        self.heads, self.task = heads, task

    def __call__(self, _: nn.Module, args: object, kwargs: object) -> None:
        self.heads.lend(self.task, (args, kwargs))


class _GiveBack(_Lend):
    def __call__(self, *_: object) -> None:
        self.heads.give_back(self.task)


def _tensors(inputs: object) -> Iterator[Tensor]:
    """The tensors in a head's arguments."""
    if isinstance(inputs, Tensor):
        yield inputs
    elif isinstance(inputs, dict):
        yield from _tensors(list(inputs.values()))
    elif isinstance(inputs, (list, tuple)):
        for value in inputs:
            yield from _tensors(value)


def _put(module: nn.Module, name: str, value: Tensor | None) -> None:
    module._parameters[name] = value  # type: ignore[assignment]  # noqa: SLF001  (a stand-in is no nn.Parameter)
    if isinstance(module, nn.RNNBase) and name in module._flat_weights_names:  # noqa: SLF001
        # They compute with a list of their own.
        module._flat_weights[module._flat_weights_names.index(name)] = value  # noqa: SLF001
