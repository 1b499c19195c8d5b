"""Weights on disk: safetensors, which hold numbers and nothing that runs, checked before a byte is allocated."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from counterpoint.serving.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

_DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

Layout = dict[str, tuple[str, tuple[int, ...]]]  # type and shape by name


def write_weights(path: Path, model: nn.Module) -> str:
    """Writes a model's parameters and buffers.

    Returns:
        The file's SHA-256.

    Raises:
        BundleError: if a weight is not finite.
        OSError: if the file cannot be written.
    """
    from safetensors.torch import save  # noqa: PLC0415  (an extra)

    state = {name: tensor.detach().contiguous().clone() for name, tensor in model.state_dict().items()}
    check_finite(state, "the model")
    content = save(state)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Refuses weights that are NaN or infinite.

    Raises:
        BundleError: naming the first such weight.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"{where} has weights '{name}' that are not finite: its training diverged")


def inspect_weights(path: Path, sha256: str) -> Layout:
    """What a weights file holds, by its header alone.

    Raises:
        BundleError: if it is not the file whose SHA-256 is given, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  (an extra)

    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise _changed(path)
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
            return {name: (found.get_dtype(), tuple(found.get_shape())) for name, found in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"'{path}' is no safetensors file ({error}); write the bundle again") from None


def check_weights(path: Path, held: Layout, build: Callable[[], nn.Module]) -> None:
    """Compares what a weights file holds with the model that shall take it.

    Args:
        path: The file.
        held: What it holds.
        build: Builds the model, preferably of tensors with shapes and no memory.

    Raises:
        BundleError: if the model has other tensors.
    """
    try:
        wanted = _layout(build())
    except BundleError:
        raise
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        raise BundleError(f"'{path}': the network that bundle.json describes cannot be built: {reason}") from None
    for name, (dtype, shape) in wanted.items():
        if name not in held:
            raise BundleError(f"'{path}' has no tensor '{name}', which the network in bundle.json has")
        if held[name] != (dtype, shape):
            raise BundleError(
                f"'{path}': tensor '{name}' is {held[name][0]} {list(held[name][1])}, "
                f"expected {dtype} {list(shape)} for the network in bundle.json"
            )
    if extra := [name for name in held if name not in wanted]:
        raise BundleError(f"'{path}' has a tensor '{extra[0]}' that the network in bundle.json has not")


def load_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """Reads a file that was checked.

    Raises:
        BundleError: if it has changed since, or holds weights that are not finite.
    """
    from safetensors.torch import load  # noqa: PLC0415  (an extra)

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read '{path}': {error.strerror}; load the bundle again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _changed(path)
    state = load(content)
    check_finite(state, f"'{path}'")
    return state


def _layout(model: nn.Module) -> Layout:
    return {
        name: (_DTYPES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
        for name, tensor in model.state_dict().items()
    }


def _changed(path: Path) -> BundleError:
    return BundleError(
        f"'{path}' is not the file that was written with bundle.json (its SHA-256 differs): write it again"
    )
