"""What FanOut and backward accept: features and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from torch import Tensor

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
    tensors = tuple(features) if isinstance(features, (list, tuple)) else (features,)
    if not tensors:
        raise ValueError("features is empty, expected a tensor or a sequence of tensors")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"features hold a {type(tensor).__name__}, expected a tensor or a list or tuple of tensors")
    return cast("tuple[Tensor, ...]", tensors)


def checked_layout(tensors: Sequence[Tensor], before: Shapes | None) -> Shapes:
    """Shapes of the features without the batch dimension.

    Args:
        tensors: The features.
        before: What an earlier call returned.

    Raises:
        TypeError: if a tensor is complex.
        ValueError: if the layout has changed since. Batch size, image size and sequence length may change from call to
            call, the layout may not.
    """
    for tensor in tensors:
        if tensor.is_complex():
            raise TypeError(f"features are {tensor.dtype}, expected real numbers: hand on torch.view_as_real of them")
    shapes = tuple(tuple(tensor.shape[1:]) for tensor in tensors)
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
