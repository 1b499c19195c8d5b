"""Training steps timed in processes of their own, which take turns.

Each method lives in a process of its own, started several times over, because what a method allocates, and where,
changes how fast the others run. The processes take turns, in a new order each round; a turn is one step to warm up and
the median of three timed ones (of one, from 0.2 s a step on, and fewer rounds are enough then). The C allocator is
told to keep its pages: by default glibc hands them back after some steps and not others, by chance of the heap's
layout, and 8,000 page faults then add up to a third to a step of any method, the uniform sum included.

Peak memory is that of tensors: the largest sum of living allocations that torch's profiler sees during one step, over
what lived before it (parameters, batches; gradients are None). Unlike a process's resident size it repeats to the byte
and does not depend on the allocator's reuse of pages; it leaves out oneDNN's scratch space, which all methods have, and
Python objects.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from torch.profiler import ProfilerActivity, profile

from measuring import interleaved, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the largest that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "KINETO_LOG_LEVEL": "99",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
}
WARM_UP = 3  # steps before anything is measured
BURST = 3  # steps timed a turn ...
SLOW = 0.2  # ... but one only, of methods that take more seconds than this,
ENOUGH = 4.0  # in as many rounds a launch as fit in these seconds,
LEAST = 3  # but no fewer than these


class Worker:
    """A method that trains its network in a process of its own, on demand."""

    def __init__(self, method: str, tasks: int, encoder: str, threads: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name("serve_steps.py")), method]
        self.process = subprocess.Popen(
            [*command, str(tasks), encoder, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
        )

    def ask(self, question: str) -> float:
        """The number that the process answers with: seconds, or bytes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(question, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()}")
        return float(answer)

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve(step: Callable[[], None], optimizer: torch.optim.Optimizer) -> None:
    """What a worker's process does: answer each line it reads by a number."""
    if seconds_of(step) < SLOW:
        for _ in range(WARM_UP - 1):
            step()
    gc.freeze()  # keeps the collections before each timing short
    for question in sys.stdin:
        answer = seconds_a_step(step) if question.strip() == "seconds" else peak_memory(step, optimizer)
        print(answer, flush=True)


def seconds_a_step(step: Callable[[], None]) -> float:
    if (first := seconds_of(step)) > SLOW:
        return first
    return median(seconds_of(step) for _ in range(BURST))


def peak_memory(step: Callable[[], None], optimizer: torch.optim.Optimizer) -> int:
    """Bytes that one step allocates at its peak, on top of what lived before."""
    optimizer.zero_grad()
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        step()
    events = trace.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    living = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        living += change
        peak = max(peak, living)
    return peak


def take_turns(
    methods: Sequence[str], tasks: int, encoder: str, *, steps: int, threads: int
) -> dict[str, dict[str, Any]]:
    """{method: {"seconds": [rounds], "mib"}} of one launch of all processes."""
    workers = {name: Worker(name, tasks, encoder, threads) for name in methods}
    try:
        mebibytes = {name: worker.ask("bytes") / 2**20 for name, worker in workers.items()}
        timers = {name: partial(worker.ask, "seconds") for name, worker in workers.items()}
        rounds = {}
        for name, timer in timers.items():
            first = timer()
            rounds[name] = min(steps, max(LEAST, int(ENOUGH / first))) if first > SLOW else steps
        seconds = interleaved(timers, rounds)
    finally:
        for worker in workers.values():
            worker.close()
    return {name: {"seconds": seconds[name], "mib": mebibytes[name]} for name in methods}
