"""How many rows' graphs fit into memory, measured on a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from counterpoint.trajectory.probe import Probe

# Two sizes give bytes a row apart from what does not grow with rows. Not 1: BatchNorm in train mode refuses one row.
_FEW, _HALF = 8, 4


@dataclass(frozen=True)
class Need:
    """Bytes that a graph saves for backward: ``fixed + rows * each``."""

    fixed: float
    each: float

    def rows(self, memory: int) -> int:
        """How many rows fit, at least one."""
        return max(1, int((memory - self.fixed) / max(self.each, 1.0)))

    def of(self, rows: int, graphs: int) -> float:
        """Bytes for so many rows in so many graphs."""
        return graphs * self.fixed + rows * self.each


def measured(probe: Probe, run: Callable[[Probe], object], apart_from: Callable[[], Iterable[Tensor]]) -> Need:
    """What the graph needs that ``run`` makes of a probe.

    Args:
        probe: Its first rows are run.
        run: Makes the graph, and returns what holds it.
        apart_from: The parameters known after it has run; their memory is held anyway.
    """

    def saved(part: Probe) -> int:
        storages: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            if not tensor.is_sparse:
                storage = tensor.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # the tensor itself would hold its own graph

        with torch.autograd.graph.saved_tensors_hooks(pack, _unpack):
            alive = run(part)
        for tensor in (*probe.tensors(), *apart_from()):
            storages.pop(tensor.untyped_storage().data_ptr(), None)
        del alive
        return sum(storages.values())

    if probe.rows <= _FEW:
        return Need(0.0, saved(probe) / probe.rows)
    many, few = saved(probe.part(0, _FEW)), saved(probe.part(0, _HALF))
    each = max(many - few, 0) / (_FEW - _HALF)
    return Need(many - _FEW * each, each)


def _unpack(tensor: Any) -> Any:
    return tensor
