"""Losses elsewhere in parameter space, without a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from counterpoint.undisturbed.hearing import hearing_of_modules, parts_of
from counterpoint.undisturbed.kept import KeptModule, KeptParameter, keep_generators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

T = TypeVar("T")


class Undisturbed:
    """Within it, losses may be evaluated with other values of the shared parameters; at its end all is as before.

    Put back, bit for bit, also when something raises: the shared parameters, every parameter in the losses' graph, the
    buffers, parameters and train/eval modes of every module that is called, gradients, and the states of the random
    number generators of torch, CUDA, Python and NumPy. Modules are recognized when they are called; one that is changed
    before its first call (``model.eval()`` in the closure) has to be named in ``models``. State that is neither
    parameter nor buffer (a Python counter) is out of reach.

    Args:
        shared: The shared parameters.
        others: More parameters to keep.
        models: Modules to keep with all their parts.
        blame: What messages call the closure.
        prepare: Called with every module before each of its forward passes, when its state has been kept; may change
            its mode.
    """

    def __init__(
        self,
        shared: Sequence[Tensor],
        others: Iterable[Tensor] = (),
        models: Iterable[nn.Module] = (),
        *,
        blame: str = "reevaluate",
        prepare: Callable[[nn.Module], None] | None = None,
    ) -> None:
        self._shared = shared
        self._blame = blame
        self._prepare = prepare
        self._parameters: dict[int, KeptParameter] = {}
        self._modules: dict[int, KeptModule] = {}
        self._present: dict[int, Tensor] = {}  # what the shared parameters were given, where it is not their own
        for parameter in (*shared, *others):
            self._keep(parameter)
        for model in models:
            for module in model.modules():
                self._know(module)
        self._generators = keep_generators()
        self._hearing = hearing_of_modules(self._meet)

    def _keep(self, parameter: Tensor) -> None:
        if id(parameter) not in self._parameters:
            self._parameters[id(parameter)] = KeptParameter.of(parameter)

    def _know(self, module: nn.Module) -> None:
        if id(module) not in self._modules:
            self._modules[id(module)] = KeptModule.of(module)
            for parameter in module._parameters.values():  # noqa: SLF001
                if parameter is not None:
                    self._keep(parameter)

    def _meet(self, module: nn.Module) -> None:
        for part in parts_of(module):
            self._know(part)
            if self._prepare is not None:
                self._prepare(part)

    def __enter__(self) -> Self:
        self._hearing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hearing.__exit__(None, None, None)
        for kept in self._parameters.values():
            kept.put_back()
        for state in self._modules.values():
            state.put_back()
        self._generators()

    @property
    def parameters(self) -> Iterable[Tensor]:
        """Those known so far."""
        return [kept.tensor for kept in self._parameters.values()]

    def place(self, values: Sequence[Tensor] | None) -> None:
        """Gives the shared parameters other values, or their own (``None``)."""
        for index, parameter in enumerate(self._shared):
            kept = self._parameters[id(parameter)]
            kept.storage.copy_(kept.value if values is None else values[index])
            if values is None:
                self._present.pop(id(parameter), None)
            else:
                self._present[id(parameter)] = values[index].to(kept.value.dtype)

    def evaluate(self, losses: Callable[[], T], *, graph: bool = False, rewind: bool = True) -> T:
        """Calls the closure with buffers and random numbers as they were at first.

        Args:
            losses: The closure.
            graph: Whether what it returns is to be differentiated.
            rewind: If not, buffers and random numbers go on from the last evaluation: this is another part of it.

        Raises:
            ValueError: if the closure changes a parameter, or steps an optimizer.
        """
        if rewind:
            for state in self._modules.values():
                state.put_back()
            self._generators()
        torch.clear_autocast_cache()  # low-precision copies of parameters elsewhere
        hook = register_optimizer_step_pre_hook(self._refuse)
        try:
            with torch.inference_mode(mode=False), torch.set_grad_enabled(graph):
                found = losses()
        finally:
            torch.clear_autocast_cache()
            hook.remove()
        self._check_unchanged()
        return found

    def _check_unchanged(self) -> None:
        for kept in self._parameters.values():
            expected = self._present.get(id(kept.tensor), kept.value)
            if kept.tensor.shape != expected.shape or not _same(kept.tensor.detach(), expected):
                raise ValueError(
                    f"{self._blame} changed {self._name(kept.tensor)}, expected a closure that only computes losses: "
                    "everything was put back"
                )

    def _refuse(self, optimizer: Optimizer, *_: object) -> None:
        raise ValueError(
            f"{self._blame} steps an optimizer ({type(optimizer).__name__}), expected a closure that only computes "
            "losses: everything was put back"
        )

    def _name(self, parameter: Tensor) -> str:
        for state in self._modules.values():
            for name, own in state.module._parameters.items():  # noqa: SLF001
                if own is parameter:
                    return f"the parameter {name!r} {list(parameter.shape)} of a {type(state.module).__name__}"
        return f"a parameter of shape {list(parameter.shape)}"


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())
