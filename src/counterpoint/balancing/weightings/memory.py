"""What weightings remember, as tensors: all that a state_dict may hold."""

from __future__ import annotations

import json
import math
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_START = struct.Struct("<QI")  # length of the header, checksum of header and data
# Some averages of weights go through two state_dicts side by side: sizes should rarely change.
_LEAST_BYTES = 4096


def names_as_tensor(names: Sequence[str]) -> Tensor:
    """Names, as bytes.

    Example:
        >>> names_of(names_as_tensor(["left", "right"]))
        ('left', 'right')
    """
    return _uint8(json.dumps(list(names)).encode())


def names_of(tensor: Tensor | None) -> tuple[str, ...] | None:
    """What :func:`names_as_tensor` was given; ``None`` for ``None``."""
    return None if tensor is None else tuple(json.loads(_bytes(tensor)))


def bound_tasks(owner: nn.Module, bound: tuple[str, ...] | None, told: Sequence[str] | None) -> tuple[str, ...] | None:
    """Tasks that a weighting is bound to after it has read a state.

    Args:
        owner: The weighting, for the message.
        bound: Tasks that it is bound to.
        told: Tasks of the state.

    Raises:
        ValueError: if both are known and differ.
    """
    if bound is None or told is None or bound == tuple(told):
        return bound or (None if told is None else tuple(told))
    raise ValueError(f"the state of {owner} is for the tasks {', '.join(told)}, expected {', '.join(bound)}")


def moments_of(optimizer: torch.optim.Adam | None, like: Tensor) -> dict[str, Tensor]:
    """Steps and moments of an Adam of one parameter, zeros before its first step: always the same names and shapes."""
    state = {} if optimizer is None else optimizer.state.get(optimizer.param_groups[0]["params"][0], {})
    return {
        name: state.get(name, torch.zeros(()) if name == "step" else torch.zeros_like(like)).detach()
        for name in _MOMENTS
    }


def adam_with(
    moments: Mapping[str, Tensor], parameter: Tensor, lr: float, weight_decay: float = 0.0
) -> torch.optim.Adam | None:
    """An Adam of one parameter that goes on with :func:`moments_of` another; ``None`` if that had not begun."""
    if not float(moments.get("step", 0.0)) > 0:
        return None
    optimizer = torch.optim.Adam([parameter], lr=lr, weight_decay=weight_decay)
    optimizer.state[parameter] = {name: moments[name].to(parameter, copy=True) for name in _MOMENTS}
    optimizer.state[parameter]["step"] = moments["step"].to("cpu", torch.float32, copy=True)
    return optimizer


def wired(value: object) -> Tensor:
    """Nested plain values and tensors as one tensor of bytes: a header in JSON, then the tensors' own bytes.

    The size is a power of two, 4,096 at least. No code is in it: reading it runs none.

    Example:
        >>> unwired(wired({"seen": (1, [None, 2.5]), "dtype": torch.float64}))
        {'seen': (1, [None, 2.5]), 'dtype': torch.float64}
    """
    tensors: list[Tensor] = []
    structure = _to_json(value, tensors)
    kinds = [[_dtype_name(tensor.dtype), list(tensor.shape)] for tensor in tensors]
    header = json.dumps({"value": structure, "tensors": kinds}).encode()
    data = header + b"".join(_bytes(tensor.reshape(-1).view(torch.uint8)) for tensor in tensors)
    whole = _START.pack(len(header), zlib.crc32(data)) + data
    return _uint8(whole.ljust(max(_LEAST_BYTES, 2 ** math.ceil(math.log2(len(whole)))), b"\0"))


def unwired(tensor: Tensor) -> Any:
    """What :func:`wired` was given.

    Raises:
        ValueError: if it was changed on the way: averaged with another, cut off.
    """
    whole = _bytes(tensor)
    try:
        length, checksum = _START.unpack_from(whole)
        header = json.loads(whole[_START.size : _START.size + length])
        tensors, at = [], _START.size + length
        for name, shape in header["tensors"]:
            dtype = getattr(torch, name)
            size = dtype.itemsize * math.prod(shape)
            tensors.append(_uint8(whole[at : at + size]).view(dtype).reshape(shape))
            at += size
        if zlib.crc32(whole[_START.size : at]) == checksum:
            return _from_json(header["value"], tensors)
    except (struct.error, ValueError, KeyError, TypeError, RuntimeError):
        pass
    raise ValueError("bytes that were changed, expected them as state_dict() gave them")


def read_or_warn(tensor: Tensor, owner: nn.Module) -> dict[str, Any]:
    """A dict that was :func:`wired`, empty with a warning where the bytes were changed."""
    try:
        return dict(unwired(tensor))
    except ValueError:
        warnings.warn(
            f"what {owner} remembered cannot be read, expected bytes as state_dict() gave them (were two states "
            "averaged?): it begins anew",
            stacklevel=2,
        )
        return {}


def _to_json(value: object, tensors: list[Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, torch.dtype):
        return {"dtype": _dtype_name(value)}
    if isinstance(value, tuple):
        return {"tuple": [_to_json(part, tensors) for part in value]}
    if isinstance(value, list):
        return [_to_json(part, tensors) for part in value]
    if isinstance(value, dict):
        return {"dict": [[_to_json(key, tensors), _to_json(part, tensors)] for key, part in value.items()]}
    return value


def _from_json(value: Any, tensors: Sequence[Tensor]) -> Any:
    if isinstance(value, list):
        return [_from_json(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dtype":
        return getattr(torch, content)
    if kind == "tuple":
        return tuple(_from_json(part, tensors) for part in content)
    return {_from_json(key, tensors): _from_json(part, tensors) for key, part in content}


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _uint8(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(bytearray(content), dtype=np.uint8))


def _bytes(tensor: Tensor) -> bytes:
    # Whoever averages states converts all of it to floats; equal bytes come out as they went in.
    return bytes(tensor.detach().to("cpu", torch.uint8).contiguous().numpy())
