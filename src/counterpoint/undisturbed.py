"""Evaluates losses elsewhere in parameter space and leaves everything as it was."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

T = TypeVar("T")


@dataclass
class _Kept:
    """A parameter, what it held, and its gradient."""

    tensor: Tensor
    storage: Tensor  # shares memory with the tensor, not its version counter: the user's graph stays usable
    value: Tensor
    requires_grad: bool
    grad: Tensor | None
    grad_value: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor) -> _Kept:
        grad = tensor.grad
        value = None if grad is None else grad.detach().clone()
        return cls(tensor, tensor.data, tensor.detach().clone(), tensor.requires_grad, grad, value)

    def put_back(self) -> None:
        if self.tensor.data_ptr() != self.storage.data_ptr() or self.tensor.shape != self.storage.shape:
            self.tensor.data = self.storage
        _write(self.storage, self.value)
        if self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)
        if self.tensor.grad is not self.grad:
            self.tensor.grad = self.grad
        if self.grad is not None and self.grad_value is not None:
            _write(self.grad, self.grad_value)


@dataclass
class _State:
    """A module's own buffers and mode. Those of a scripted module cannot be replaced, and need not be."""

    module: nn.Module
    buffers: dict[str, Tensor | None]
    values: dict[str, Tensor]
    training: bool

    @classmethod
    def of(cls, module: nn.Module) -> _State:
        buffers = dict(module._buffers)  # noqa: SLF001  (where a module keeps them)
        values = {name: buffer.detach().clone() for name, buffer in buffers.items() if buffer is not None}
        return cls(module, buffers, values, module.training)

    def put_back(self) -> None:
        own = self.module._buffers  # noqa: SLF001
        if {name: id(buffer) for name, buffer in own.items()} != {n: id(b) for n, b in self.buffers.items()}:
            own.clear()
            own.update(self.buffers)
        for name, value in self.values.items():
            _write(self.buffers[name], value)  # type: ignore[arg-type]
        self.module.training = self.training


_listening: list[Callable[[nn.Module], None]] = []


def _called(module: nn.Module, _: object) -> None:
    # Within a compiled region the parts are those of the compiled module, which was met before.
    if not torch.compiler.is_compiling():
        _listening[-1](module)


# One function and one key for good: compiled modules look at both, and would be compiled anew for every other.
_KEY = RemovableHandle.next_id
RemovableHandle.next_id += 1


@contextlib.contextmanager
def hearing_of_modules(meet: Callable[[nn.Module], None]) -> Iterator[None]:
    """Within it, ``meet`` hears of every module that is called, before its forward."""
    hooks = torch_modules._global_forward_pre_hooks  # noqa: SLF001  (registering would take a new key every time)
    outermost = not _listening
    _listening.append(meet)
    hooks[_KEY] = _called
    try:
        yield
    finally:
        _listening.pop()
        if outermost:
            del hooks[_KEY]


class Recomputed:
    """Within it, backward passes may recompute what was checkpointed; buffers come back at its end.

    Random numbers are up to the checkpoint. Costs nothing where no module is called.
    """

    def __init__(self) -> None:
        self._modules: dict[int, _State] = {}
        self._hearing = hearing_of_modules(self._meet)

    def _meet(self, module: nn.Module) -> None:
        for part in _parts(module):
            if id(part) not in self._modules:
                self._modules[id(part)] = _State.of(part)

    def __enter__(self) -> Self:
        self._hearing.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hearing.__exit__(None, None, None)
        for state in self._modules.values():
            state.put_back()


def _parts(module: nn.Module) -> Iterable[nn.Module]:
    """The module; of a compiled or scripted one all, since its parts are not called one by one."""
    whole = hasattr(module, "_orig_mod") or isinstance(module, torch.jit.ScriptModule)
    return module.modules() if whole else (module,)


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
        self._parameters: dict[int, _Kept] = {}
        self._modules: dict[int, _State] = {}
        self._present: dict[int, Tensor] = {}  # what the shared parameters were given, where it is not their own
        for parameter in (*shared, *others):
            self._keep(parameter)
        for model in models:
            for module in model.modules():
                self._know(module)
        self._generators = _generators()
        self._hearing = hearing_of_modules(self._meet)

    def _keep(self, parameter: Tensor) -> None:
        if id(parameter) not in self._parameters:
            self._parameters[id(parameter)] = _Kept.of(parameter)

    def _know(self, module: nn.Module) -> None:
        if id(module) not in self._modules:
            self._modules[id(module)] = _State.of(module)
            for parameter in module._parameters.values():  # noqa: SLF001
                if parameter is not None:
                    self._keep(parameter)

    def _meet(self, module: nn.Module) -> None:
        for part in _parts(module):
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


def _write(tensor: Tensor, value: Tensor) -> None:
    """Past the version counter; once where elements share memory (an expanded buffer)."""
    if tensor.layout is not torch.strided:
        tensor.data = value.clone()
        return
    once = tuple(slice(1) if stride == 0 else slice(None) for stride in tensor.stride())
    tensor.data[once].copy_(value[once])


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


def _generators() -> Callable[[], None]:
    """Reads the random number generators' states; what is returned writes them back."""
    cpu, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda: Any = None
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        cuda = torch.cuda.get_rng_state_all()

    def put_back() -> None:
        torch.set_rng_state(cpu)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)

    return put_back
