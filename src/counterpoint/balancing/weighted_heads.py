"""Heads whose gradients wait for their task's weight, in one ordinary backward pass."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from counterpoint.names import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from counterpoint.balancing.step_record import StepRecord


class Deferred(torch.autograd.Function):
    """Parameters of a head, and a weight token; backward multiplies their gradients by the token's, the weight."""

    transparent = True

    @staticmethod
    def forward(ctx: Any, heads: WeightedHeads, task: str, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Stand-ins, and the token, in at least fp32: scale-free weightings may give large ones."""
        ctx.heads, ctx.task, ctx.parameters, ctx.unweighted_in = heads, task, parameters, -1
        ctx.set_materialize_grads(False)
        dtype = torch.promote_types(parameters[0].dtype, torch.float32).to_real()
        return *(parameter.view_as(parameter) for parameter in parameters), parameters[0].new_zeros((), dtype=dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Weighted gradients; as they are, where the head did not look at the features."""
        *own, weight = gradients
        running = torch._C._current_graph_task_id()  # noqa: SLF001
        if weight is None:
            if any(gradient is not None for gradient in own):
                ctx.unweighted_in = running
            return None, None, *own
        # Backward passes are numbered: a later one that has run already ran inside this one, as a reentrant checkpoint
        # does, which hands on what it has before the weight is known.
        ctx.heads.arrived(ctx.task, ctx.parameters, own, running, inside=ctx.unweighted_in > running)
        # Zero is also the weight of a skipped task, whose gradients may hold NaN.
        return None, None, *(None if g is None else _times(g, weight) for g in own)


def _times(gradient: Tensor, weight: Tensor) -> Tensor:
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        return torch.sparse_coo_tensor(gradient.indices(), _times(gradient.values(), weight), gradient.shape)
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
class HeadStandIns:
    """The stand-ins that belong to one use of the FanOut.

    Attributes:
        weighted: Whether gradients are multiplied by the task's weight; otherwise only a skipped task's are left out.
        tasks: The tasks, in the order of the tokens.
        tokens: One for each task: what the FanOut sends back for it is the weight.
    """

    weighted: bool
    tasks: tuple[str, ...] = ()
    tokens: list[Tensor] = field(default_factory=list)
    places: dict[str, list[_Place]] = field(default_factory=dict)
    copies: list[tuple[str, weakref.ref[Tensor]]] = field(default_factory=list)  # each with the task it is of

    @property
    def alive(self) -> bool:
        """Whether anybody still holds features of this use."""
        return any(copy() is not None for _, copy in self.copies)

    def token_gradients(
        self, record: StepRecord, layout: Sequence[tuple[torch.dtype, torch.device]]
    ) -> list[Tensor | None]:
        """The weight of each task; ``None`` where the head did not look at these features: its gradients stay.

        Args:
            record: Of the step.
            layout: Dtype and device of each token.
        """
        weights = record.weights if self.weighted else torch.ones_like(record.weights)
        of_task = dict(zip(record.tasks, weights.unbind(), strict=True))
        return [
            None
            if task in record.absent
            else of_task[task].to(device, dtype) * (0.0 if task in record.skipped else 1.0)
            for task, (dtype, device) in zip(self.tasks, layout, strict=True)
        ]


class WeightedHeads:
    """Lends heads copies of their parameters whose gradients wait for the weights.

    A head's gradients are ready before the weights are known. So each head computes with stand-ins of its parameters,
    made by a node whose backward needs two things: the parameters' gradients, and a token's, which the FanOut sends it
    and which is the weight. The parameters then receive weighted gradients, once, as from any backward pass: gradient
    accumulation, hooks, DDP and gradient scalers see nothing unusual, and a parameter that two heads share receives
    each head's part with its own weight.

    Heads are matched with the use of the FanOut whose features they are called with. Called with something else, they
    belong to the latest use; after its backward pass they are ordinary modules. What a head computes outside its own
    ``forward`` cannot be weighted: with its parameters directly, in a part of it, or again in a reentrant checkpoint.
    Such a gradient comes to a parameter beside its stand-in, which is told at the end of the backward pass.

    Args:
        heads: The head of each task.
        tasks: Names of all tasks.
        weighted: Whether gradients are multiplied by the task's weight; otherwise only a skipped task's are left out.

    Raises:
        ValueError: for an unknown task, a task without a head, or one module in the heads of two tasks.
        TypeError: if a head is not a module.
    """

    def __init__(self, heads: Mapping[str, nn.Module], tasks: Sequence[str], *, weighted: bool = True) -> None:
        for task, head in heads.items():
            known(task, tasks)
            if not isinstance(head, nn.Module):
                raise TypeError(f"head of task {task!r} is {type(head).__name__}, expected an nn.Module")
            if any(isinstance(module, torch.jit.ScriptModule) for module in head.modules()):
                raise TypeError(f"head of task {task!r} is scripted, expected a module whose parameters can be lent")
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
        self.weighted = weighted
        self._running = -1
        self._received: set[int] = set()  # parameters with a gradient by way of a stand-in in the running pass
        self._missing: list[tuple[str, Tensor, object]] = []  # and those without, and what .grad they had before
        self._open: list[HeadStandIns] = []
        self._kept: dict[str, list[tuple[nn.Module, str, Tensor | None]]] = {}
        self._hooks = [hook for task, head in self.heads.items() for hook in self._hooked(task, head)]

    def _hooked(self, task: str, head: nn.Module) -> tuple[Any, Any]:
        # Before other hooks: pruning and weight normalization compute the weights there.
        lend = head.register_forward_pre_hook(_Lend(self, task), prepend=True, with_kwargs=True)
        return lend, head.register_forward_hook(_GiveBack(self, task), always_call=True)

    def open(self, tasks: Sequence[str]) -> HeadStandIns:
        """Makes stand-ins for the heads' next calls."""
        self._open = [stand_ins for stand_ins in self._open if stand_ins.alive]
        stand_ins = HeadStandIns(self.weighted, tuple(tasks))
        for task in tasks:
            used = [
                (module, name, parameter)
                for module in self.heads[task].modules()
                for name, parameter in module._parameters.items()  # noqa: SLF001
                if parameter is not None and parameter.requires_grad
            ]
            if any(isinstance(parameter, nn.parameter.UninitializedParameter) for _, _, parameter in used):
                raise ValueError(
                    f"the head of task {task!r} is lazy, expected one call of it before the FanOut's first"
                )
            distinct = list({id(parameter): parameter for _, _, parameter in used}.values())
            if any(hasattr(parameter, "device_mesh") for parameter in distinct):
                raise ValueError(
                    f"the head of task {task!r} is sharded, expected whole parameters with heads='weighted': leave the "
                    "heads out of fully_shard, or use heads='own'"
                )
            if not distinct:
                stand_ins.tokens.append(torch.zeros(()))
                continue
            *copies, token = Deferred.apply(self, task, *distinct)  # type: ignore[no-untyped-call]
            copy_of = {id(parameter): copy for parameter, copy in zip(distinct, copies, strict=True)}
            stand_ins.places[task] = [
                _Place(module, name, parameter, copy_of[id(parameter)], parameter.data_ptr())
                for module, name, parameter in used
            ]
            stand_ins.tokens.append(token)
        return stand_ins

    def grant(self, stand_ins: HeadStandIns, copies: Sequence[Tensor]) -> None:
        """Lends to the heads that get these features, or something made of the latest ones."""
        width = len(copies) // max(1, len(stand_ins.tasks))
        stand_ins.copies = [(stand_ins.tasks[at // width], weakref.ref(copy)) for at, copy in enumerate(copies)]
        self._open.append(stand_ins)

    def end(self, stand_ins: HeadStandIns) -> None:
        """After the backward pass heads compute with their own parameters again."""
        self._open = [other for other in self._open if other is not stand_ins]

    def arrived(
        self, task: str, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], running: int, *, inside: bool
    ) -> None:
        """Notes which parameters of a head have a gradient by way of their stand-ins, now that its weight is known.

        Args:
            task: Whose head it is.
            parameters: Of the head.
            gradients: Theirs.
            running: The backward pass.
            inside: Whether gradients have gone to the parameters already, in a backward pass inside this one.

        Raises:
            RuntimeError: if they have, and none is left to be weighted.
        """
        if running != self._running:
            self._running, self._received, self._missing = running, set(), []
        # In several processes .grad is also written by whoever averages it, which no stand-in announces.
        if not self.weighted or (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return
        pairs = list(zip(parameters, gradients, strict=True))
        self._received.update(id(parameter) for parameter, gradient in pairs if gradient is not None)
        missing = [(task, parameter, _grad_of(parameter)) for parameter, gradient in pairs if gradient is None]
        if inside and len(missing) == len(pairs):
            raise RuntimeError(
                f"the head of task {task!r} was computed again in a backward pass inside this one, as a reentrant "
                "checkpoint does, so its gradients are not weighted, expected checkpoint(..., use_reentrant=False) or "
                "heads='own'"
            )
        if missing and not self._missing:
            torch.autograd.Variable._execution_engine.queue_callback(self._check_missing)  # noqa: SLF001
        self._missing += missing

    def _check_missing(self) -> None:
        """At the end of a backward pass: a gradient that came beside a stand-in is not weighted."""
        missing, self._missing = self._missing, []
        for task, parameter, before in missing:
            if id(parameter) not in self._received and _grad_of(parameter) != before and _is_nonzero(parameter.grad):
                name = next(name for name, own in self.heads[task].named_parameters() if own is parameter)
                raise RuntimeError(
                    f"the gradient of {name!r} in the head of task {task!r} did not wait for the task's weight and is "
                    "not weighted, expected the head to be called as heads[task](z[task]): not head.forward(...), a "
                    "part of it, its parameters alone, nor a compiled copy; or heads='own'"
                )

    def lend(self, task: str, inputs: object) -> None:
        """Before a head's forward."""
        self._kept[task] = []
        open_ = [stand_ins for stand_ins in self._open if task in stand_ins.places] if torch.is_grad_enabled() else []
        if not open_:
            return
        given = {id(tensor) for tensor in _tensors(inputs)}
        whose = [
            (stand_ins, name) for stand_ins in self._open for name, copy in stand_ins.copies if id(copy()) in given
        ]
        exact = [stand_ins for stand_ins, name in whose if name == task]
        if whose and not exact:
            if not self.weighted:
                return  # whether that task is skipped says nothing of this head
            raise ValueError(
                f"the head of task {task!r} got the features of task {whose[0][1]!r}, and its gradient would have the "
                f"weight of {task!r}, expected z[{task!r}] under heads='weighted': where one loss needs two heads, "
                "heads='own', or backward(losses, weighting, features=z, heads='weighted')"
            )
        for place in (exact or open_)[-1].places[task]:
            if place.valid:
                self._kept[task].append((place.module, place.name, place.parameter))
                _put(place.module, place.name, place.stand_in)

    def give_back(self, task: str) -> None:
        """After it, also when it raised."""
        for module, name, parameter in self._kept.pop(task, ()):
            _put(module, name, parameter)

    def __getstate__(self) -> dict[str, Any]:
        """Without stand-ins: parts of a graph can be neither copied nor saved."""
        return self.__dict__ | {"_open": [], "_kept": {}, "_hooks": [], "_received": set(), "_missing": []}


def _is_nonzero(gradient: Tensor | None) -> bool:
    """Whether anything was added: hooks that step inside backward set gradients to zero."""
    return gradient is not None and bool((gradient.coalesce().values() if gradient.is_sparse else gradient).any())


def _grad_of(parameter: Tensor) -> object:
    """What tells whether a gradient was added since."""
    return None if parameter.grad is None else (id(parameter.grad), parameter.grad._version)  # noqa: SLF001


class _Lend:
    """A hook that can be copied and pickled with its module."""

    def __init__(self, heads: WeightedHeads, task: str) -> None:
        self.heads, self.task = heads, task

    def __call__(self, _: nn.Module, args: object, kwargs: object = None) -> None:  # some copy hooks without the latter
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
