"""The ways to train one shared network that `step_cost.py` compares: METHODS, name -> builder, in GROUPS.

A builder takes a `Network` and returns a function of one batch that leaves a gradient in every parameter;
zero_grad and the optimizer's step come from `training_step` and are the same for all. To compare one more
way, add a line to FEATURES, WEIGHTINGS (`feature_level.py`) or PARAMETERS (`parameter_level.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feature_level import COMPILED, FEATURES, WEIGHTINGS, uniform
from networks import build_network
from parameter_level import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from feature_level import Pass
    from networks import Network

REFERENCE, OURS = "uniform", "FanOut(MGDA)"
GROUPS = {"features": FEATURES, "weightings": WEIGHTINGS, "parameters": PARAMETERS, "compiled": COMPILED}
METHODS: dict[str, Callable[[Network], Pass]] = {REFERENCE: uniform} | FEATURES | WEIGHTINGS | PARAMETERS | COMPILED
BY_HAND = [name for name in METHODS if name.startswith("TorchJD by hand")]


def training_step(method: str, tasks: int, encoder: str) -> tuple[Callable[[], None], torch.optim.Optimizer]:
    """A function that trains a fresh network by one step, each call on the next batch, and its optimizer."""
    network = build_network(tasks, encoder)
    run_pass, taken = METHODS[method](network), 0

    def step() -> None:
        nonlocal taken
        inputs, labels = network.batches[taken % len(network.batches)]
        taken += 1
        network.optimizer.zero_grad()
        after = run_pass(inputs, labels)
        network.optimizer.step()
        if after is not None:
            after()

    return step, network.optimizer
