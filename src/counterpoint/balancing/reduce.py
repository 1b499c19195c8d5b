"""How much of T task gradients a FanOut keeps until the last of them has arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch

from counterpoint.balancing.arrivals import Arrivals, Rounded
from counterpoint.balancing.streamed import Carried, Streamed
from counterpoint.balancing.weightings.weighting import one_line
from counterpoint.names import one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from counterpoint.balancing.combine import Balance

Reduce = Literal["bfloat16", "stream"]


class Reduction:
    """What happens to gradients on arrival.

    Args:
        kind: ``None`` keeps them as they are, ``"bfloat16"`` in 16 bits, ``"stream"`` as sketches.

    Raises:
        ValueError: for anything else.
    """

    def __init__(self, kind: Reduce | None) -> None:
        if kind is not None:
            one_of("reduce", kind, get_args(Reduce))
        self.kind = kind
        self._carried = Carried() if kind == "stream" else None

    def accept(self, balance: Balance) -> None:
        """Refuses what needs gradients that are gone.

        Raises:
            ValueError: if the weighting combines gradients coordinate by coordinate, or a task would have to be skipped
                on all ranks after some have added its gradient.
        """
        if self.kind != "stream":
            return
        if getattr(balance.weighting, "needs_rows", False):
            raise ValueError(
                f"{one_line(balance.weighting)} combines gradients coordinate by coordinate, expected reduce=None or "
                "reduce='bfloat16': with reduce='stream' none is left when the last arrives"
            )
        if balance.on_nonfinite == "skip" and balance.ranks.active:
            raise ValueError(
                "on_nonfinite='skip' with reduce='stream' and a process group, expected 'raise' or 'propagate': a rank "
                "adds its gradient up before it hears that another rank's is not finite"
            )

    def arrivals(self, features: Sequence[Tensor]) -> Arrivals | None:
        """What receives the gradients of one use of the layer; ``None`` if its own node does."""
        if self.kind is None:
            return None
        like = [torch.empty_strided(f.shape, f.stride(), dtype=f.dtype, device="meta") for f in features]
        return Rounded(like) if self._carried is None else Streamed(like, self._carried)
