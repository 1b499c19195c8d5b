"""What a user hands over as parameters: one meaning of ``shared=`` and ``params`` everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

Given = nn.Module | Iterable[Tensor] | Iterable[dict[str, Any]] | Tensor

_EXPECTED = "expected a module, parameters such as encoder.parameters(), or param groups of an optimizer"


def trainable_parameters(name: str, given: Given) -> list[Tensor]:
    """The parameters that require gradients, each once; frozen ones are left out.

    Args:
        name: What messages call them.
        given: A module, an iterable of parameters (a generator, too), an optimizer's param groups, or one parameter.

    Raises:
        ValueError: if there are none, or one is the result of a computation, or has no numbers yet.
        TypeError: if something is not a tensor, or not one of real numbers that are all stored.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> [list(parameter.shape) for parameter in trainable_parameters("shared", [layer.weight, layer.weight])]
        [[3, 2]]
        >>> groups = torch.optim.SGD(layer.parameters(), lr=0.1).param_groups
        >>> len(trainable_parameters("shared", groups)), len(trainable_parameters("shared", layer.bias))
        (2, 1)
    """
    found = {id(tensor): tensor for tensor in _each(name, given) if tensor.requires_grad}
    if not found:
        raise ValueError(
            f"{name} holds no parameter that requires grad, expected at least one that is trained; a generator such as "
            "module.parameters() is used up after one pass, so hand over the module or a list"
        )
    for tensor in found.values():
        _check(name, tensor)
    return list(found.values())


def _each(name: str, given: Given) -> Iterator[Tensor]:
    """One after the other, frozen ones as well."""
    if isinstance(given, Tensor):
        yield given
        return
    if isinstance(given, str) or not isinstance(given, (nn.Module, Iterable)):
        hint = ": hand over its .param_groups" if isinstance(given, torch.optim.Optimizer) else ""
        raise TypeError(f"{name} is a {type(given).__name__}, {_EXPECTED}{hint}")
    several = given.parameters() if isinstance(given, nn.Module) else given
    for item in (several,) if isinstance(several, Mapping) else several:
        if isinstance(item, Mapping):
            if "params" not in item:
                raise ValueError(
                    f"{name} holds a dict of {[*item][:3]}, {_EXPECTED}: groups have 'params': [...], and of "
                    "parameters by name hand over the .values()"
                )
            group = item["params"]
            yield from _each(name, group)
        elif isinstance(item, Tensor):
            yield item
        else:
            raise TypeError(f"{name} holds a {type(item).__name__}, {_EXPECTED}{_hint(item)}")


def _hint(item: object) -> str:
    if isinstance(item, nn.Module):
        return ": hand over nn.ModuleList of several modules"
    return ": hand over parameters() rather than named_parameters()" if isinstance(item, tuple) else ""


def _check(name: str, tensor: Tensor) -> None:
    """Raises for what has no gradient to compare with others."""
    if is_lazy(tensor):
        raise ValueError(
            f"{name} holds a lazy parameter without a shape, expected one forward pass of its module first"
        )
    if not tensor.is_leaf:
        raise ValueError(
            f"{name} holds the result of a computation, expected parameters (leaves of the graph), not features"
        )
    if tensor.is_complex():
        raise TypeError(
            f"{name} holds complex numbers, of shape {list(tensor.shape)}, expected real ones: keep "
            "torch.view_as_real of them as the parameter"
        )
    if tensor.layout is not torch.strided or tensor.is_meta:
        kind = "on the meta device" if tensor.is_meta else f"of layout {tensor.layout}"
        raise TypeError(f"{name} holds a parameter {kind}, expected dense ones: to_empty() or to_dense() makes them")
