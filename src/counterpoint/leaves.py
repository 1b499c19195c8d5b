"""What a user hands over as parameters, as a list of leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable


def trained_leaves(name: str, given: nn.Module | Iterable[Tensor] | Tensor) -> list[Tensor]:
    """The parameters that require gradients, each once.

    Args:
        name: What messages call them.
        given: A module, an iterable of parameters, or one parameter.

    Raises:
        ValueError: if there are none, or one is no leaf.
        TypeError: if something is not a tensor.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> [list(leaf.shape) for leaf in trained_leaves("params", [layer.weight, layer.weight])]
        [[3, 2]]
    """
    several = given.parameters() if isinstance(given, nn.Module) else given
    leaves: dict[int, Tensor] = {}
    for tensor in (several,) if isinstance(several, Tensor) else several:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} holds a {type(tensor).__name__}, expected parameters (tensors) or one nn.Module")
        if tensor.requires_grad:
            leaves[id(tensor)] = tensor
    if not leaves:
        raise ValueError(
            f"{name} holds no parameter that requires grad, expected at least one; a generator such as "
            "module.parameters() is used up after one pass, so hand over the module or a list"
        )
    if any(not tensor.is_leaf for tensor in leaves.values()):
        raise ValueError(f"{name} holds the result of a computation, expected parameters (leaves of the graph)")
    return list(leaves.values())
