"""What a TorchJD method remembers, as plain values and tensors."""

from __future__ import annotations

import inspect
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, torch.dtype, type(None))


class _NotPlainError(Exception):
    """A value that is no state: a solver's problem, a function."""


def pack(method: nn.Module) -> dict[str, dict[str, Any]]:
    """State of a method: attributes and buffers of its modules, without its options.

    Args:
        method: A module of TorchJD.

    Returns:
        For each module by its path, values by attribute.
    """
    packed: dict[str, dict[str, Any]] = {}
    for path, module in method.named_modules():
        options = {name.strip("_") for name in inspect.signature(type(module)).parameters}
        values = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
        values |= vars(module)["_buffers"]
        packed[path] = {}
        for name, value in values.items():
            if name.strip("_") in options:
                continue
            try:
                packed[path][name] = _encoded(value)
            except _NotPlainError:
                continue
    return packed


def unpack(method: nn.Module, packed: dict[str, dict[str, Any]]) -> None:
    """Gives a method, made with the same options, the state that :func:`pack` took from another.

    Tensors go where the method's parameters are, to the CPU without any, whatever device ``torch.load`` put them on.
    """
    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    for path, values in packed.items():
        module = method.get_submodule(path)
        for name, value in values.items():
            setattr(module, name, _decoded(value, device))
        # NashMTL makes its conic problem in the first step and does not expect to be restored after it.
        make_problem = getattr(module, "_init_optim_problem", None)
        if make_problem is not None and module.step:
            make_problem()


def place(method: nn.Module, device: torch.device) -> None:
    """Moves a method's buffers to the device of the gradients, where a checkpoint was read on another."""
    state: list[Tensor] = [buffer for buffer in method.buffers() if buffer.device != device]
    if not state:
        return
    method.to(device)
    for module in method.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, tuple) and any(isinstance(part, torch.device) for part in value):
                setattr(module, name, tuple(device if isinstance(part, torch.device) else part for part in value))


def _encoded(value: object) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (tuple, list)):
        return type(value)(_encoded(part) for part in value)
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, np.ndarray):
        return {"array": torch.from_numpy(value.copy())}
    if isinstance(value, np.generic):
        return value.item()
    raise _NotPlainError


def _decoded(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, (tuple, list)):
        return type(value)(_decoded(part, device) for part in value)
    if isinstance(value, dict):
        if "device" in value:
            return torch.device(value["device"])
        return cast("Tensor", value["array"]).cpu().numpy().copy()
    return value
