"""The ways to train one shared network that `step_cost.py` compares: METHODS, name -> builder.

A builder takes a `Network` and returns a function of one batch that leaves a gradient in every parameter;
zero_grad and the optimizer's step come from `training_step` and are the same for all. To compare one more
way, add a line to METHODS.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchjd import aggregation
from torchjd.autojac import jac, jac_to_grad, mtl_backward

from counterpoint import MGDA, FanOut
from published_min_norm import published_min_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint import Weighting

    Batch = tuple[Tensor, list[Tensor]]
    Pass = Callable[[Tensor, list[Tensor]], None]

BATCH, FEATURES, CLASSES = 32, 512, 10


@dataclass
class Network:
    """An encoder with one linear head a task, its optimizer, and a few batches to go round."""

    encoder: nn.Module
    heads: nn.ModuleList
    optimizer: torch.optim.Optimizer
    batches: list[Batch]


def small_conv() -> nn.Module:
    """The model of PEERS.md: 3 x 64 x 64 -> 512 features."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(128 * 8 * 8, FEATURES), nn.ReLU()),
    )


def build_network(tasks: int, encoder: Callable[[], nn.Module] = small_conv, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    body, heads = encoder(), nn.ModuleList(nn.Linear(FEATURES, CLASSES) for _ in range(tasks))
    optimizer = torch.optim.SGD([*body.parameters(), *heads.parameters()], lr=0.01)
    batches = [(torch.randn(BATCH, 3, 64, 64), list(torch.randint(CLASSES, (tasks, BATCH)).unbind())) for _ in range(4)]
    return Network(body, heads, optimizer, batches)


def training_step(method: str, tasks: int) -> tuple[Callable[[], None], torch.optim.Optimizer]:
    """A function that trains a fresh network by one step, each call on the next batch, and its optimizer."""
    network = build_network(tasks)
    run_pass, taken = METHODS[method](network), 0

    def step() -> None:
        nonlocal taken
        inputs, labels = network.batches[taken % len(network.batches)]
        taken += 1
        network.optimizer.zero_grad()
        run_pass(inputs, labels)
        network.optimizer.step()

    return step, network.optimizer


def head_losses(heads: nn.ModuleList, features: Tensor | Sequence[Tensor], labels: list[Tensor]) -> list[Tensor]:
    per_task = [features] * len(heads) if isinstance(features, Tensor) else features
    return [cross_entropy(head(z), y) for head, z, y in zip(heads, per_task, labels, strict=True)]


def uniform(network: Network) -> Pass:
    """The sum of the losses, the reference."""

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        sum(head_losses(network.heads, network.encoder(inputs), labels)).backward()

    return run_pass


def fan_out(network: Network, weighting: Callable[[], Weighting]) -> Pass:
    """Ours: a layer between encoder and heads, head gradients unscaled."""
    names = [f"task{t}" for t in range(len(network.heads))]
    fan = FanOut(weighting(), tasks=names)

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        features = fan(network.encoder(inputs))
        sum(head_losses(network.heads, [features[name] for name in names], labels)).backward()

    return run_pass


def published_mgda_ub(network: Network) -> Pass:
    """The structure of Sener & Koltun's trainer: two forward passes of the encoder and of the heads.

    Leaner than theirs: one Gram matrix by one product, `autograd.grad` in place of zero_grad and backward per
    task, and their solver on matrices (see `published_min_norm`).
    """

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        with torch.no_grad():
            features = network.encoder(inputs)
        features.requires_grad_()
        gradients = []
        for head, y in zip(network.heads, labels, strict=True):
            (gradient,) = torch.autograd.grad(cross_entropy(head(features), y), features)
            gradients.append(gradient.flatten())
        jacobian = torch.stack(gradients)
        weights = published_min_norm((jacobian @ jacobian.T).double().numpy()).tolist()
        losses = head_losses(network.heads, network.encoder(inputs), labels)
        sum(weight * loss for weight, loss in zip(weights, losses, strict=True)).backward()

    return run_pass


def torchjd_mtl(network: Network) -> Pass:
    """TorchJD as its manual shows it: `mtl_backward` and `jac_to_grad(MGDA())`, on the shared parameters."""
    shared, aggregator = list(network.encoder.parameters()), aggregation.MGDA()
    own = [list(head.parameters()) for head in network.heads]

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        features = network.encoder(inputs)
        losses = head_losses(network.heads, features, labels)
        mtl_backward(losses, features, tasks_params=own, shared_params=shared)
        jac_to_grad(shared, aggregator)

    return run_pass


def torchjd_by_hand(network: Network, one_by_one: bool) -> Pass:
    """TorchJD at feature level: `jac` of the losses on the features, its weighting, losses.backward(weights).

    The heads get gradients scaled by the weights, where FanOut's are unscaled, and run backward twice. `jac`
    of all losses in one call goes through every head for every loss, T * T in all, batched; `one_by_one`
    calls it per loss.
    """
    weighting = aggregation.MGDAWeighting()

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        features = network.encoder(inputs)
        losses = head_losses(network.heads, features, labels)
        if one_by_one:
            rows = torch.cat([jac(loss, features, retain_graph=True)[0] for loss in losses])
        else:
            (rows,) = jac(losses, features, retain_graph=True)
        jacobian = rows.flatten(1)
        torch.autograd.backward(losses, list(weighting(jacobian @ jacobian.T)))

    return run_pass


def torchjd_detached(network: Network) -> Pass:
    """TorchJD at feature level, at its leanest: the heads on detached features, the encoder afterwards.

    One backward pass of everything, head gradients unscaled: what FanOut computes, for a user who splits the
    pass in two. `jac` of each loss on the features and the head's parameters at once, the weighting, then the
    encoder.
    """
    weighting = aggregation.MGDAWeighting()
    own = [list(head.parameters()) for head in network.heads]

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        features = network.encoder(inputs)
        fork = features.detach().requires_grad_()
        rows = []
        for loss, parameters in zip(head_losses(network.heads, fork, labels), own, strict=True):
            row, *gradients = jac(loss, [fork, *parameters])
            rows.append(row)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient[0]
        jacobian = torch.cat(rows).flatten(1)
        features.backward((weighting(jacobian @ jacobian.T) @ jacobian).view_as(features))

    return run_pass


METHODS: dict[str, Callable[[Network], Pass]] = {
    "uniform": uniform,
    "FanOut(MGDA)": partial(fan_out, weighting=MGDA),
    "published MGDA-UB": published_mgda_ub,
    "TorchJD mtl_backward": torchjd_mtl,
    "TorchJD by hand": partial(torchjd_by_hand, one_by_one=False),
    "TorchJD by hand, loss by loss": partial(torchjd_by_hand, one_by_one=True),
    "TorchJD by hand, detached": torchjd_detached,
}
REFERENCE, OURS = "uniform", "FanOut(MGDA)"
BY_HAND = [name for name in METHODS if name.startswith("TorchJD by hand")]
