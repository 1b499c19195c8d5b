"""Steps that compare gradients at the features: FEATURES are the ways to do it, WEIGHTINGS what FanOut can be given."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torchjd import aggregation
from torchjd.autojac import jac

from counterpoint import MGDA, DiBS, FairGrad, FanOut, GradNorm, Nash, Uniform, get_weighting
from networks import head_losses
from published_min_norm import published_min_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from counterpoint import Weighting
    from networks import Network

    # Leaves gradients in the parameters; what it returns is called after the optimizer's step.
    Pass = Callable[[Tensor, list[Tensor]], Callable[[], None] | None]


def uniform(network: Network) -> Pass:
    """The sum of the losses, the reference."""

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        sum(head_losses(network.heads, network.encoder(inputs), labels)).backward()

    return run_pass


def fan_out(network: Network, weighting: Callable[[], Weighting]) -> Pass:
    """Ours: a layer between encoder and heads, head gradients unscaled."""
    fan = FanOut(weighting(), tasks=network.names)
    learned = [parameter for parameter in fan.parameters() if parameter.requires_grad]
    if learned:
        network.optimizer.add_param_group({"params": learned})

    def losses_of(inputs: Tensor, labels: list[Tensor]) -> list[Tensor]:
        features = fan(network.encoder(inputs))
        return head_losses(network.heads, [features[name] for name in network.names], labels)

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> Callable[[], None] | None:
        losses = losses_of(inputs, labels)
        if fan.weighting.needs_losses:
            fan.sum(dict(zip(network.names, losses, strict=True))).backward()
        else:
            sum(losses).backward()
        if not getattr(fan.weighting, "needs_reevaluation", False):
            return None

        def look_again() -> None:  # FAMO learns from what the step did to the losses: one more forward
            with torch.no_grad():
                after = losses_of(inputs, labels)
            fan.weighting.reevaluated(dict(zip(network.names, after, strict=True)))

        return look_again

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
        for loss in head_losses(network.heads, features, labels):
            (gradient,) = torch.autograd.grad(loss, features)
            gradients.append(gradient.flatten())
        jacobian = torch.stack(gradients)
        weights = published_min_norm((jacobian @ jacobian.T).double().numpy()).tolist()
        losses = head_losses(network.heads, network.encoder(inputs), labels)
        sum(weight * loss for weight, loss in zip(weights, losses, strict=True)).backward()

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


def torchjd_detached(network: Network, combine: Callable[[int], Callable[[Tensor], Tensor]]) -> Pass:
    """TorchJD at feature level, at its leanest: the heads on detached features, the encoder afterwards.

    One backward pass of everything, head gradients unscaled: what FanOut computes, for a user who splits the
    pass in two. `jac` of each loss on the features and the head's parameters at once, the aggregation of the rows
    [T, d] to one vector [d], then the encoder.
    """
    aggregate = combine(len(network.heads))
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
        features.backward(aggregate(torch.cat(rows).flatten(1)).view_as(features))

    return run_pass


def by_mgda(_: int) -> Callable[[Tensor], Tensor]:
    weighting = aggregation.MGDAWeighting()
    return lambda jacobian: weighting(jacobian @ jacobian.T) @ jacobian


def compiled(network: Network, weighting: Callable[[], Weighting] | None) -> Pass:
    """The whole forward pass, the losses and their sum in one compiled graph; the plain sum without a weighting."""
    fan = None if weighting is None else FanOut(weighting(), tasks=network.names)

    def total(inputs: Tensor, labels: list[Tensor]) -> Tensor:
        features = network.encoder(inputs)
        if fan is None:
            return torch.stack(head_losses(network.heads, features, labels)).sum()
        own = fan(features)
        losses = head_losses(network.heads, [own[name] for name in network.names], labels)
        return fan.sum(dict(zip(network.names, losses, strict=True)))

    in_one_graph = torch.compile(total, fullgraph=True)

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        in_one_graph(inputs, labels).backward()

    return run_pass


COMPILED: dict[str, Callable[[Network], Pass]] = {
    "uniform, compiled": partial(compiled, weighting=None),
    "FanOut(MGDA), compiled": partial(compiled, weighting=MGDA),
    "FanOut(DiBS), compiled": partial(compiled, weighting=DiBS),
}
FEATURES: dict[str, Callable[[Network], Pass]] = {
    "published MGDA-UB": published_mgda_ub,
    "TorchJD by hand": partial(torchjd_by_hand, one_by_one=False),
    "TorchJD by hand, loss by loss": partial(torchjd_by_hand, one_by_one=True),
    "TorchJD by hand, detached": partial(torchjd_detached, combine=by_mgda),
    "TorchJD NashMTL by hand, detached": partial(torchjd_detached, combine=aggregation.NashMTL),
}
OF_OURS = {"MGDA": MGDA, "DiBS": DiBS, "Nash": Nash, "FairGrad": FairGrad, "GradNorm": GradNorm, "Uniform": Uniform}
OF_TORCHJD: dict[str, dict[str, float]] = {
    "upgrad": {},
    "cagrad": {"c": 0.4},
    "imtlg": {},
    "alignedmtl": {},
    "config": {},
    "dualproj": {},
    "random": {},
    "nashmtl": {},
    "pcgrad": {},
    "gradvac": {},
    "graddrop": {},
    "torchjd-mgda": {},
    "uw": {},
    "imtll": {},
    "dwa": {},
    "famo": {},
}
WEIGHTINGS: dict[str, Callable[[Network], Pass]] = {
    f"FanOut({name})": partial(fan_out, weighting=weighting) for name, weighting in OF_OURS.items()
} | {
    f"FanOut({name})": partial(fan_out, weighting=partial(get_weighting, name, **options))
    for name, options in OF_TORCHJD.items()
}
