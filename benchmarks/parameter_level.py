"""Steps that compare gradients at the shared parameters: PARAMETERS, ours and TorchJD's with the same weightings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torchjd import aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

from counterpoint import MGDA, backward, get_weighting
from networks import head_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from counterpoint import Weighting
    from feature_level import Pass
    from networks import Network

KEPT = 8  # task gradients that "recompute" may keep


def ours(network: Network, weighting: Callable[[], Weighting], recompute: bool = False) -> Pass:
    """`backward` with the shared parameters."""
    weigh, shared = weighting(), list(network.encoder.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in shared)
    memory = {"memory": "recompute", "max_bytes": KEPT * size} if recompute else {}

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        features = network.encoder(inputs)
        losses = dict(zip(network.names, head_losses(network.heads, features, labels), strict=True))
        backward(losses, weigh, shared=shared, **memory)

    return run_pass


def torchjd(network: Network, aggregator: Callable[[], aggregation.Aggregator], tuned: bool = False) -> Pass:
    """TorchJD as its manual shows it: `mtl_backward` and `jac_to_grad`.

    `tuned` is what its manual offers to those who look for it: one task at a time in place of one batch of all, and
    the Gramian gathered tensor by tensor.
    """
    shared, combine = list(network.encoder.parameters()), aggregator()
    own = [list(head.parameters()) for head in network.heads]
    chunk = {"parallel_chunk_size": 1} if tuned else {}

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        features = network.encoder(inputs)
        losses = head_losses(network.heads, features, labels)
        mtl_backward(losses, features, tasks_params=own, shared_params=shared, **chunk)
        jac_to_grad(shared, combine, optimize_gramian_computation=tuned)

    return run_pass


upgrad = partial(get_weighting, "upgrad")
PARAMETERS: dict[str, Callable[[Network], Pass]] = {
    "backward(MGDA)": partial(ours, weighting=MGDA),
    "backward(MGDA), recompute": partial(ours, weighting=MGDA, recompute=True),
    "TorchJD mtl_backward": partial(torchjd, aggregator=aggregation.MGDA),
    "TorchJD mtl_backward, tuned": partial(torchjd, aggregator=aggregation.MGDA, tuned=True),
    "backward(UPGrad)": partial(ours, weighting=upgrad),
    "TorchJD mtl_backward UPGrad": partial(torchjd, aggregator=aggregation.UPGrad),
}
# Ours, and TorchJD's with the same weighting.
PAIRS = [
    (name, peer)
    for peer, mine in {
        "TorchJD mtl_backward": ("backward(MGDA)", "backward(MGDA), recompute"),
        "TorchJD mtl_backward, tuned": ("backward(MGDA)",),
        "TorchJD mtl_backward UPGrad": ("backward(UPGrad)",),
    }.items()
    for name in mine
]
