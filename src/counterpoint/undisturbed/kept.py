"""What is kept of parameters, modules and random number generators, and how it is put back bit for bit."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class KeptParameter:
    """A parameter, what it held, and its gradient."""

    tensor: Tensor
    storage: Tensor  # shares memory with the tensor, not its version counter: the user's graph stays usable
    value: Tensor
    requires_grad: bool
    grad: Tensor | None
    grad_value: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor) -> KeptParameter:
        """As it is now."""
        grad = tensor.grad
        value = None if grad is None else grad.detach().clone()
        return cls(tensor, tensor.data, tensor.detach().clone(), tensor.requires_grad, grad, value)

    def put_back(self) -> None:
        """As it was then."""
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
class KeptModule:
    """A module's own buffers and mode. Those of a scripted module cannot be replaced, and need not be."""

    module: nn.Module
    buffers: dict[str, Tensor | None]
    values: dict[str, Tensor]
    training: bool

    @classmethod
    def of(cls, module: nn.Module) -> KeptModule:
        """As it is now."""
        buffers = dict(module._buffers)  # noqa: SLF001  (where a module keeps them)
        values = {name: buffer.detach().clone() for name, buffer in buffers.items() if buffer is not None}
        return cls(module, buffers, values, module.training)

    def put_back(self) -> None:
        """As it was then."""
        own = self.module._buffers  # noqa: SLF001
        if {name: id(buffer) for name, buffer in own.items()} != {n: id(b) for n, b in self.buffers.items()}:
            own.clear()
            own.update(self.buffers)
        for name, value in self.values.items():
            _write(self.buffers[name], value)  # type: ignore[arg-type]
        self.module.training = self.training


def keep_generators() -> Callable[[], None]:
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


def _write(tensor: Tensor, value: Tensor) -> None:
    """Past the version counter; once where elements share memory (an expanded buffer)."""
    if tensor.layout is not torch.strided:
        tensor.data = value.clone()
        return
    once = tuple(slice(1) if stride == 0 else slice(None) for stride in tensor.stride())
    tensor.data[once].copy_(value[once])
