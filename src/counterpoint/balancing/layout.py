"""What FanOut and backward accept: features and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.masked import MaskedTensor
from torch.nn.utils.rnn import PackedSequence

if TYPE_CHECKING:
    from collections.abc import Sequence


HeadGradients = Literal["own", "weighted"]
Shapes = tuple[tuple[int, ...], ...]


def checked_scaler(grad_scaler: object) -> None:
    """Raises TypeError for what is neither ``None`` nor a GradScaler."""
    if grad_scaler is not None and not hasattr(grad_scaler, "get_scale"):
        raise TypeError(f"grad_scaler={grad_scaler!r} has no get_scale, expected a torch.amp.GradScaler")


def checked_tensors(features: object) -> tuple[Tensor, ...]:
    """A tensor, or several, as a tuple.

    Raises:
        TypeError: if something is not a tensor.
        ValueError: if there is none.
    """
    several = isinstance(features, (list, tuple)) and not isinstance(features, PackedSequence)
    tensors = tuple(cast("Sequence[object]", features)) if several else (features,)
    if not tensors:
        raise ValueError("features is empty, expected a tensor or a sequence of tensors")
    for tensor in tensors:
        if isinstance(tensor, PackedSequence):  # a tuple with None in it, which is no feature
            raise TypeError(
                "features hold a PackedSequence, expected tensors: hand over packed.data, and give each head "
                "packed._replace(data=z[task])"
            )
        if not isinstance(tensor, Tensor):
            raise TypeError(f"features hold a {type(tensor).__name__}, expected a tensor or a list or tuple of tensors")
    return cast("tuple[Tensor, ...]", tensors)


def live_features(features: object) -> tuple[Tensor, ...]:
    """Those that require gradients: frozen ones take no part.

    Raises:
        TypeError: if something is not a tensor, or not one whose gradients can be compared.
        ValueError: if there is none.
    """
    live = tuple(tensor for tensor in checked_tensors(features) if tensor.requires_grad)
    if not live:
        raise ValueError("none of the features requires grad, expected at least one that is trained")
    for tensor in live:
        _check_comparable(tensor)
        if tensor.is_meta:
            raise TypeError("features are on the meta device, expected a device that computes")
    return live


def _check_comparable(tensor: Tensor) -> None:
    """Raises TypeError for a tensor of whose gradients there are no inner products."""
    if tensor.is_complex():
        raise TypeError(f"features are {tensor.dtype}, expected real numbers: hand on torch.view_as_real of them")
    if tensor.is_nested:
        raise TypeError(
            "features are a nested tensor, expected one of rows of equal length: hand over its .values() and offsets, "
            "or torch.nested.to_padded_tensor(features, 0.0)"
        )
    if isinstance(tensor, MaskedTensor):
        raise TypeError("features are a MaskedTensor, expected plain ones: hand over features.to_tensor(0.0)")
    if tensor.layout is not torch.strided:
        raise TypeError(f"features are of layout {tensor.layout}, expected dense ones: hand over features.to_dense()")


def checked_layout(tensors: Sequence[Tensor], before: Shapes | None) -> Shapes:
    """Shapes of the features without the batch dimension.

    Args:
        tensors: The features.
        before: What an earlier call returned.

    Raises:
        TypeError: if one that requires gradients is complex, nested or sparse, or within a transform of torch.func.
        ValueError: if the layout has changed since. Batch size, image size and sequence length may change from call to
            call, the layout may not.
    """
    for tensor in tensors:
        if tensor.requires_grad or tensor.is_complex():  # a sparse adjacency matrix is handed on as it is
            _check_comparable(tensor)
    if within_transform(tensors):
        raise TypeError(
            "FanOut is called within a transform of torch.func (grad, vmap, jvp) or forward_ad, expected "
            "loss.backward(), where gradients are balanced; .eval() makes a FanOut hand features on, plain, within "
            "transforms, too"
        )
    shapes = tuple(() if tensor.is_nested else tuple(tensor.shape[1:]) for tensor in tensors)
    if before is None or before == shapes:
        return shapes
    agrees = len(before) == len(shapes) and all(
        len(old) == len(new) and (not old or any(o == n for o, n in zip(old, new, strict=True)))
        for old, new in zip(before, shapes, strict=True)
    )
    if not agrees:
        raise ValueError(
            f"features have shape {_shown(shapes)}, expected {_shown(before)} as in earlier calls of this FanOut; "
            "use one FanOut for each place where the network forks"
        )
    return shapes


def within_transform(tensors: Sequence[Tensor]) -> bool:
    """Whether one is what ``torch.func`` hands to a function that it transforms, or carries a forward derivative."""
    if torch.compiler.is_compiling():  # which cannot trace this question, and has an answer of its own
        return False
    functorch = torch._C._functorch  # noqa: SLF001
    if functorch.peek_interpreter_stack() is not None and any(map(functorch.is_functorch_wrapped_tensor, tensors)):
        return True
    if forward_ad._current_level < 0:  # noqa: SLF001
        return False
    duals = [forward_ad.unpack_dual(tensor) for tensor in tensors]  # type: ignore[no-untyped-call]
    return any(dual.tangent is not None for dual in duals)


def by_task(
    names: Sequence[str], tensors: Sequence[Tensor], live: Sequence[int], copies: Sequence[Tensor]
) -> dict[str, tuple[Tensor, ...]]:
    """What each task gets of n features.

    Args:
        names: The tasks.
        tensors: The features, which tasks get themselves where nothing flows back.
        live: Positions of those that have copies.
        copies: Of the live ones, task by task.

    Example:
        >>> import torch
        >>> frozen, live = torch.zeros(1), torch.zeros(2)
        >>> fanned = by_task(["a", "b"], [frozen, live], [1], [live + 1, live + 2])
        >>> {task: [part.tolist() for part in own] for task, own in fanned.items()}
        {'a': [[0.0], [1.0, 1.0]], 'b': [[0.0], [2.0, 2.0]]}
    """
    fanned: dict[str, tuple[Tensor, ...]] = {}
    for index, name in enumerate(names):
        own = list(tensors)
        for offset, position in enumerate(live):
            own[position] = copies[index * len(live) + offset]
        fanned[name] = tuple(own)
    return fanned


def _shown(shapes: Shapes) -> str:
    return ", ".join(f"[{', '.join(('B', *map(str, shape)))}]" for shape in shapes)
