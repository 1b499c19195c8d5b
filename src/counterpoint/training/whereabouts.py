"""Where callbacks find what they need in a LightningModule."""

from __future__ import annotations

from collections.abc import Callable

import lightning
from torch import Tensor, nn

from counterpoint.parameters import Given
from counterpoint.training.module import MultiTaskModule

Module = lightning.LightningModule
Shared = Given | Callable[[Module], Given]


def reusable(shared: Shared | None) -> Shared | None:
    """The same, to be asked any number of times: a generator would be used up by the first step."""
    return shared if shared is None or isinstance(shared, (nn.Module, Tensor)) or callable(shared) else list(shared)


def shared_of(callback: str, module: Module, shared: Shared | None) -> Given:
    """The shared parameters: those given, or what lies before the FanOut of a :class:`MultiTaskModule`.

    Raises:
        ValueError: if the module does not tell.
    """
    if shared is None and isinstance(module, MultiTaskModule):
        return module.shared_parameters()
    if shared is None:
        raise missing(callback, "shared", module, "the shared parameters, or the module that holds them")
    if isinstance(shared, nn.Module) or not callable(shared):
        return shared
    return shared(module)


def missing(callback: str, name: str, module: Module, what: str) -> ValueError:
    """What is raised where a callback is not told something that this module does not tell."""
    return ValueError(
        f"{callback} got no {name} and {type(module).__name__} is no MultiTaskModule, expected {name}={what}"
    )
