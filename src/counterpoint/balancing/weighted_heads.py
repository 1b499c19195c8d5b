"""Heads whose gradients are multiplied by their task's weight, in one ordinary backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.balancing.fan_node import Defer
from counterpoint.balancing.layout import known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class WeightedHeads:
    """Lends heads copies of their parameters whose gradients wait for the weights.

    A head's gradients are ready before the weights are known. So each head computes with stand-ins of its parameters,
    made by a node whose backward needs two things: the parameters' gradients, and a token's, which the FanOut sends it
    and which is the weight. The parameters then receive weighted gradients, once, as from any backward pass: gradient
    accumulation, hooks, DDP and gradient scalers see nothing unusual, and a parameter that two heads share receives
    each head's part with its own weight.

    Args:
        heads: The head of each task.
        tasks: Names of all tasks.

    Raises:
        ValueError: for an unknown task, a task without a head, or one module as the head of two tasks.
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
        if len({id(head) for head in heads.values()}) < len(heads):
            raise ValueError(
                "two tasks share one head module, expected a module for each with heads='weighted': its gradients "
                "cannot be told apart; use heads='own'"
            )
        self.heads = dict(heads)
        self._lent: dict[str, list[tuple[nn.Module, str, Tensor]]] = {}
        self._kept: dict[str, list[tuple[nn.Module, str, Tensor | None]]] = {}
        self._hooks = [hook for task, head in self.heads.items() for hook in self._hooked(task, head)]

    def _hooked(self, task: str, head: nn.Module) -> tuple[Any, Any]:
        lend, give_back = _Hook(self, task, "lend"), _Hook(self, task, "give_back")
        return head.register_forward_pre_hook(lend), head.register_forward_hook(give_back, always_call=True)

    def tokens(self, tasks: Sequence[str]) -> list[Tensor]:
        """Makes new stand-ins, for the heads' next calls: one token for each task."""
        self._lent = {}
        tokens = []
        for task in tasks:
            places = [
                (module, name, parameter)
                for module in self.heads[task].modules()
                for name, parameter in module._parameters.items()  # noqa: SLF001  (where a module keeps them)
                if parameter is not None and parameter.requires_grad
            ]
            if not places:
                tokens.append(torch.zeros(()))
                continue
            distinct = list({id(parameter): parameter for _, _, parameter in places}.values())
            *copies, token = Defer.apply(*distinct)  # type: ignore[no-untyped-call]
            copy_of = {id(parameter): copy for parameter, copy in zip(distinct, copies, strict=True)}
            self._lent[task] = [(module, name, copy_of[id(parameter)]) for module, name, parameter in places]
            tokens.append(token)
        return tokens

    def clear(self) -> None:
        """Heads compute with their own parameters again."""
        self._lent = {}

    def lend(self, task: str) -> None:
        """Before a head's forward."""
        lent = self._lent.get(task, ())
        self._kept[task] = [(module, name, module._parameters[name]) for module, name, _ in lent]  # noqa: SLF001
        for module, name, copy in lent:
            _put(module, name, copy)

    def give_back(self, task: str) -> None:
        """After it, also when it raised."""
        for module, name, parameter in self._kept.pop(task, ()):
            _put(module, name, parameter)

    def __getstate__(self) -> dict[str, Any]:
        """Without stand-ins: parts of a graph can be neither copied nor saved."""
        return self.__dict__ | {"_lent": {}, "_kept": {}, "_hooks": []}


class _Hook:
    """A hook that can be copied and pickled with its module."""

    def __init__(self, heads: WeightedHeads, task: str, what: str) -> None:
        self.heads, self.task, self.what = heads, task, what

    def __call__(self, *_: object) -> None:
        getattr(self.heads, self.what)(self.task)


def _put(module: nn.Module, name: str, value: Tensor | None) -> None:
    module._parameters[name] = value  # type: ignore[assignment]  # noqa: SLF001  (a stand-in is no nn.Parameter)
    if isinstance(module, nn.RNNBase) and name in module._flat_weights_names:  # noqa: SLF001
        # They compute with a list of their own.
        module._flat_weights[module._flat_weights_names.index(name)] = value  # noqa: SLF001
