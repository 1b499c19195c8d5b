"""What a FanOut and its weighting know and a state_dict does not hold, for checkpoints to resume from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing import Weighting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.balancing import FanOut


def balance_state(fan: FanOut) -> dict[str, Any]:
    """Held weights, skipped tasks, and what solvers start from, as a checkpoint without pickled code holds them."""
    carried = {
        path: {name: _plain(getattr(part, name)) for name in part.carried} for path, part in _weightings(fan).items()
    }
    return {"reuse": fan._reuse.state(), "skipped": dict(fan.skipped), "carried": carried}  # noqa: SLF001


def load_balance(fan: FanOut, state: Mapping[str, Any]) -> None:
    """Goes on with :func:`balance_state`."""
    fan._reuse.load(state["reuse"])  # noqa: SLF001
    fan.skipped.update(state["skipped"])
    for path, part in _weightings(fan).items():
        for name in part.carried:
            value = state["carried"][path][name]
            setattr(part, name, value.numpy() if isinstance(value, Tensor) else value)


def _weightings(fan: FanOut) -> dict[str, Weighting]:
    """By path: some smooth another's weights."""
    return {path: part for path, part in fan.named_modules() if isinstance(part, Weighting)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return dict(value) if isinstance(value, dict) else value
