"""Times probes that take turns, each together with what it found."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from functools import partial
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from measuring import interleaved, round_by_round, seconds_of, spread
from workers import peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trajectory_case import Case

ENOUGH = 0.03  # seconds: of calls that are faster so many are timed at once
REFERENCE = "one gradient"


@dataclass(frozen=True)
class Found:
    """What a probe says.

    Attributes:
        value: The quantity.
        error: Its standard error, where it is estimated.
        evaluations: Gradient evaluations that it reports or, for peers, that it takes by its source.
        notes: More for the JSON.
    """

    value: float = float("nan")
    error: float | None = None
    evaluations: float | None = None
    notes: Mapping[str, Any] | None = None


def gradient(case: Case) -> Found:
    """The unit: one forward and backward pass over the same rows."""
    torch.autograd.grad(case.loss(), case.shared)
    return Found(evaluations=1)


def probed(case: Case, probes: Mapping[str, Callable[[], Found]], rounds: int) -> dict[str, dict[str, Any]]:
    """{name: row} of all probes and the gradient, which are timed in turns."""
    everyone = {REFERENCE: partial(gradient, case), **probes}
    found, timers = {}, {}
    optimizer = torch.optim.SGD(case.shared, lr=0.0)
    for name, probe in everyone.items():
        answers: list[Found] = []
        mebibytes = peak_memory(lambda probe=probe, answers=answers: answers.append(probe()), optimizer) / 2**20
        found[name] = answers[0], mebibytes
        calls = max(1, ceil(ENOUGH / seconds_of(probe)))
        timers[name] = partial(_seconds_a_call, probe, calls)
    gc.freeze()  # keeps the collections before each timing short
    seconds = interleaved(timers, dict.fromkeys(timers, rounds))
    return {
        name: {
            "case": case.name,
            "what": name,
            "value": answer.value,
            "standard_error": answer.error,
            "gradient_evaluations": answer.evaluations,
            "ms": spread([1e3 * one for one in seconds[name]]),
            "times a gradient": spread(round_by_round(seconds[name], seconds[REFERENCE])),
            "peak_mib": mebibytes,
            "seconds": seconds[name],
            **(answer.notes or {}),
        }
        for name, (answer, mebibytes) in found.items()
    }


def ratio(mine: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Time over time, round by round."""
    return spread(round_by_round(mine["seconds"], other["seconds"]))


def middle(row: Mapping[str, Any], key: str) -> float:
    """A row's median."""
    return float(row[key]["median"]) if isinstance(row[key], dict) else median(row[key])


def _seconds_a_call(probe: Callable[[], Found], calls: int) -> float:
    return seconds_of(lambda: [probe() for _ in range(calls)]) / calls
