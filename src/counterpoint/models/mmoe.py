"""Multi-gate mixture of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from counterpoint.models.experts import Experts, mixture, tower

if TYPE_CHECKING:
    from collections.abc import Sequence


class MMoEEncoder(nn.Module):
    """The experts of a multi-gate mixture of experts, which all tasks share.

    After `Ma et al., KDD 2018 <https://dl.acm.org/doi/10.1145/3219819.3220007>`_, Section 4.2. The network forks at the
    experts' outputs: a FanOut there balances the gradients with respect to all experts. Gates look at the rows
    themselves, which are handed on beside the experts; if they are embedded, the gates' gradients into the embedding
    are balanced along.

    Args:
        inputs: Number of columns of the rows that experts and gates see.
        hidden: Width of each layer of an expert.
        experts: How many.
        dropout: Share of each layer's outputs that training drops.
        embed: What comes first, if anything does, for example a :class:`CodeEmbedding`.

    Raises:
        ValueError: if there is no layer or no expert.

    Example:
        >>> import torch
        >>> from counterpoint import FanOut, MGDA, MultiTaskModel
        >>> heads = {task: MMoEHead(6, 16, experts=4, outputs=1) for task in ("click", "buy")}
        >>> model = MultiTaskModel(MMoEEncoder(6, (16,), experts=4), heads, FanOut(MGDA(), list(heads)))
        >>> model(torch.zeros(8, 6))["buy"].shape
        torch.Size([8, 1])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (256,),
        experts: int = 4,
        *,
        dropout: float = 0.0,
        embed: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embed = nn.Identity() if embed is None else embed
        self.experts = Experts(inputs, hidden, experts, dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [B, ...] to the rows that gates see, [B, inputs], and the experts, [B, experts, hidden[-1]]."""
        x = self.embed(x)
        return x, self.experts(x)


class MMoEHead(nn.Module):
    """A task's gate and tower: its softmax gate says for each row how much each expert counts.

    Args:
        inputs: Number of columns that the gate sees.
        features: Width of an expert's output.
        experts: How many experts there are.
        outputs: Number of outputs.
        hidden: Width of each hidden layer of the tower; by default it is linear.
        dropout: Share of the outputs of the tower's hidden layers that training drops.
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        experts: int,
        outputs: int,
        *,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, experts)
        self.tower = tower(features, hidden, outputs, dropout)

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """What the encoder returns to outputs [B, outputs]."""
        x, experts = features
        mixed: Tensor = self.tower(mixture(self.gate(x).softmax(-1), experts))
        return mixed
