"""Our weightings, handed to TorchJD."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchjd.aggregation import Weighting as TorchJDWeighting
    from torchjd.linalg import PSDMatrix

    from counterpoint.balancing.weightings.weighting import Weighting


def as_torchjd(weighting: Weighting) -> TorchJDWeighting[PSDMatrix]:
    """Makes a weighting of TorchJD of one of ours, for its engines.

    With ``torchjd.autogram`` use it as it is; with ``torchjd.autojac`` in a ``GramianWeightedAggregator``. What it
    learns or remembers stays in ``weighting``, which is a submodule of the result.

    Args:
        weighting: A weighting that needs the Gram matrix only.

    Raises:
        ValueError: if it needs more than a Gram matrix: the losses, the gradients themselves, two batches.

    Example:
        >>> import torch
        >>> from counterpoint import MGDA
        >>> as_torchjd(MGDA())(torch.diag(torch.tensor([1.0, 3.0])))
        tensor([0.7500, 0.2500])
    """
    needs = "the losses" if weighting.needs_losses else "the gradients themselves" if weighting.needs_rows else ""
    needs = needs if weighting.levels else "two batches"
    if needs:
        raise ValueError(
            f"{weighting} needs {needs}, expected a weighting of the Gram matrix alone: TorchJD tells its weightings "
            "nothing else, use FanOut or backward"
        )
    from counterpoint.balancing.weightings.torchjd_bridge import OnTorchJD  # noqa: PLC0415

    return OnTorchJD(weighting)
