"""Backward passes that may compute again what was checkpointed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from counterpoint.undisturbed.hearing import hearing_of_modules, parts_of
from counterpoint.undisturbed.kept import KeptModule

if TYPE_CHECKING:
    from torch import nn


class Recomputed:
    """Within it, backward passes may recompute what was checkpointed; buffers come back at its end.

    Random numbers are up to the checkpoint. Costs nothing where no module is called.
    """

    def __init__(self) -> None:
        self._modules: dict[int, KeptModule] = {}
        self._hearing = hearing_of_modules(self._meet)

    def _meet(self, module: nn.Module) -> None:
        for part in parts_of(module):
            if id(part) not in self._modules:
                self._modules[id(part)] = KeptModule.of(part)

    def __enter__(self) -> Self:
        self._hearing.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hearing.__exit__(None, None, None)
        for state in self._modules.values():
            state.put_back()
