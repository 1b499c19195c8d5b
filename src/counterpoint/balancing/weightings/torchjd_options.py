"""Options of weightings: checked by name, converted from what a configuration file can say, cut to some tasks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from counterpoint.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# One value a task, in the order of the tasks. PCD's tau may be a vector too: one value for each task but the first.
_PER_TASK = frozenset({"pref_vector", "weights", "leak", "reference", "min_losses", "initial_weights"})
_PER_SECONDARY_TASK = frozenset({"tau"})

# How TorchJD's constructors call the number of tasks; it is known once the tasks are.
SIZES = ("shape", "n_tasks")


def checked_options(name: str, make: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that ``make`` takes, vectors as tensors.

    Raises:
        ValueError: for an option that it does not have or that is missing; the number of tasks may be missing.
    """
    parameters = {
        option: parameter
        for option, parameter in inspect.signature(make).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)  # of a class without a constructor
    }
    takes = ", ".join(parameters) or "none"
    for option in options:
        if option not in parameters:
            hint = did_you_mean(option, parameters)
            raise ValueError(f"weighting {name!r} does not take these options: {option!r}; its options: {takes}{hint}")
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in options and option not in SIZES:
            raise ValueError(
                f"weighting {name!r} needs the option {option!r}: get_weighting({name!r}, {option}=...); "
                f"its options: {takes}"
            )
    return {option: _converted(option, value) for option, value in options.items()}


def takes_size(make: Callable[..., Any]) -> str | None:
    """Name of the option that is the number of tasks, if there is one."""
    return next((option for option in SIZES if option in inspect.signature(make).parameters), None)


def per_task_length(options: Mapping[str, Any]) -> int | None:
    """Number of tasks for which vectors among the options were given, ``None`` without any."""
    for option, value in options.items():
        if isinstance(value, Tensor) and value.ndim == 1:
            if option in _PER_TASK:
                return len(value)
            if option in _PER_SECONDARY_TASK:
                return len(value) + 1
    return None


def cut_to(options: Mapping[str, Any], positions: Sequence[int]) -> dict[str, Any]:
    """Options for the tasks at some positions only."""
    index = torch.tensor(positions, dtype=torch.long)
    return {
        option: value[index]
        if option in _PER_TASK and isinstance(value, Tensor)
        else value[index[1:] - 1]
        if option in _PER_SECONDARY_TASK and isinstance(value, Tensor)
        else value
        for option, value in options.items()
    }


def shown(name: str, options: Mapping[str, Any]) -> str:
    """One line for ``repr``: name and options."""
    return f"{name}({', '.join(f'{option}={_short(value)}' for option, value in options.items())})"


def _converted(option: str, value: Any) -> Any:
    vector = option in _PER_TASK or (option in _PER_SECONDARY_TASK and not isinstance(value, (int, float)))
    if not vector or value is None:
        return value
    try:
        # In fp64, like the Gram matrices and losses that it will meet: TorchJD does not promote.
        return torch.as_tensor(value, dtype=torch.float64).detach().cpu().clone()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{option}={value!r} is no vector, expected one number a task") from None


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return str([round(number, 6) for number in value.flatten().tolist()])
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else repr(value)
