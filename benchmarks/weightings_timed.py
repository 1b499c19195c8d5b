"""What each weighting costs: a training step over that with the plain sum, and its weights alone."""

from __future__ import annotations

import gc
import statistics
import time
import warnings
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

import torch

from counterpoint import get_weighting
from measuring import interleaved, round_by_round, spread
from training_steps import REFERENCE
from weightings_trained import WEIGHTINGS
from workers import take_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_DIMENSION, _MATRICES = 4_096, 4
OURS = ("Uniform", "MGDA", "DiBS", "Nash", "FairGrad", "GradNorm")


def step_name(method: str) -> str:
    """What `training_steps.METHODS` calls a step with this weighting."""
    return f"FanOut({method if method in OURS else WEIGHTINGS[method].name})"


def steps(options: Any) -> list[dict[str, Any]]:
    """A row for each weighting and number of tasks: a whole step on the small conv encoder, batch 32, one thread."""
    # A variant's step takes what its method's step takes.
    names = {method: step_name(method) for method in options.methods or WEIGHTINGS if ", " not in method}
    rows = []
    for tasks in options.tasks:
        found = take_turns(
            [REFERENCE, *names.values()], tasks, "small_conv", steps=2 if options.quick else options.rounds, threads=1
        )
        reference = found[REFERENCE]["seconds"]
        for method, name in names.items():
            ratio = spread(round_by_round(found[name]["seconds"], reference))
            ms = 1e3 * statistics.median(found[name]["seconds"])
            rows.append({"part": "steps", "method": method, "tasks": tasks, "ms": ms, "times the plain sum": ratio})
        print(f"steps with {tasks} tasks done", flush=True)
    return rows


def weights(options: Any) -> list[dict[str, Any]]:
    """A row for each weighting and number of tasks: from a Gram matrix to weights, milliseconds on one thread.

    Gradients have something in common and norms within one order of magnitude; four matrices take turns, so that what
    is kept from call to call helps as little as in training. Weightings that learn from losses have no such function.
    """
    rows = []
    for tasks in options.tasks:
        timers = {name: timer for name in options.methods or WEIGHTINGS if (timer := _timer(name, tasks))}
        count = 3 if options.quick else 3 * options.rounds
        with warnings.catch_warnings(), one_thread(), no_collection():
            warnings.simplefilter("ignore")
            seconds = interleaved(timers, dict.fromkeys(timers, count))
        rows += [
            {"part": "weights", "method": name, "tasks": tasks, "ms": spread([1e3 * one for one in taken])}
            for name, taken in seconds.items()
        ]
    return rows


def _timer(name: str, tasks: int) -> Callable[[], float] | None:
    way = WEIGHTINGS[name]
    weighting = get_weighting(way.name, **way.options)
    if way.heads == "weighted" or weighting.needs_losses:
        return None
    turn = cycle(_grams(tasks))
    weighting(next(turn))

    def timer() -> float:
        gram = next(turn)
        start = time.perf_counter()
        weighting(gram)
        return time.perf_counter() - start

    return timer


@contextmanager
def one_thread() -> Iterator[None]:
    """As the steps are timed: threads that wait for each other on a busy machine take a hundred times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def no_collection() -> Iterator[None]:
    """The garbage collector does its work before; once for all calls, for they are short and many."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _grams(tasks: int) -> Sequence[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(_DIMENSION, generator=generator)
    scales = torch.logspace(-0.5, 0.5, tasks)[:, None]
    drawn = [
        scales * (torch.randn(tasks, _DIMENSION, generator=generator) + 0.5 * common) / _DIMENSION**0.5
        for _ in range(_MATRICES)
    ]
    return [(own @ own.T).double() for own in drawn]
