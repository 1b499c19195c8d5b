"""Progressive layered extraction: experts that tasks share, and experts of each task's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from counterpoint.models.experts import Experts, GroupedLinear, mixture, tower

if TYPE_CHECKING:
    from collections.abc import Sequence


class PLEEncoder(nn.Module):
    """What comes before the fork in progressive layered extraction.

    After `Tang et al., RecSys 2020 <https://dl.acm.org/doi/10.1145/3383313.3412236>`_, Section 4. Each level has shared
    experts and experts of each task's own; a task's gate mixes its own and the shared ones, and between levels one more
    gate mixes all of them for the next level's shared experts. One level is the paper's customized gate control (CGC).

    The network forks before the last level's own experts: they are in the heads, whose gradients no FanOut touches, as
    nothing but their task depends on them. The shared experts and the last level's inputs go through the FanOut.

    Args:
        inputs: Number of columns of the rows.
        hidden: Width of each layer of an expert.
        tasks: How many.
        levels: How many.
        shared: Number of shared experts of a level.
        own: Number of each task's own experts of a level.
        dropout: Share of each layer's outputs that training drops.
        embed: What comes first, if anything does, for example a :class:`CodeEmbedding`.

    Attributes:
        features: Number of columns that the last level sees, the ``inputs`` of :class:`PLEHead`.

    Raises:
        ValueError: if there is no task, level, layer or expert.

    Example:
        >>> from counterpoint import FanOut, MGDA, MultiTaskModel
        >>> encoder = PLEEncoder(6, (16,), tasks=2, levels=2, shared=3)
        >>> heads = {
        ...     task: PLEHead(encoder.features, (16,), outputs=1, shared=3, position=position)
        ...     for position, task in enumerate(["click", "buy"])
        ... }
        >>> model = MultiTaskModel(encoder, heads, FanOut(MGDA(), list(heads)))
        >>> model(torch.zeros(8, 6))["buy"].shape
        torch.Size([8, 1])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        tasks: int,
        *,
        levels: int = 1,
        shared: int = 4,
        own: int = 1,
        dropout: float = 0.0,
        embed: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for name, number in (("tasks", tasks), ("levels", levels)):
            if number < 1:
                raise ValueError(f"{name} is {number}, expected at least 1")
        self.embed = nn.Identity() if embed is None else embed
        widths = [inputs, *[hidden[-1]] * (levels - 1)] if hidden else [inputs]
        self.lower = nn.ModuleList(
            PLELevel(width, hidden, tasks, shared=shared, own=own, dropout=dropout) for width in widths[:-1]
        )
        self.shared = Experts(widths[-1], hidden, shared, dropout)
        self.features = widths[-1]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Rows to what each task's last level sees, [B, features] each, and the shared experts, [B, shared, H].

        With one level all tasks see the same: there is one tensor for all of them.
        """
        x = self.embed(x)
        if not len(self.lower):
            return x, self.shared(x)
        common, by_task = x, x
        for level in self.lower:
            common, by_task = level(common, by_task)
        return *by_task.unbind(1), self.shared(common)


class PLELevel(nn.Module):
    """A level below the last: all its experts, each task's gate, and the gate of the next level's shared experts.

    The arguments are those of :class:`PLEEncoder`.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], tasks: int, *, shared: int, own: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.split = (own, shared)
        self.shared = Experts(inputs, hidden, shared, dropout)
        self.own = Experts(inputs, hidden, tasks * own, dropout)
        self.gates = GroupedLinear(inputs, own + shared, tasks)
        self.common_gate = nn.Linear(inputs, tasks * own + shared)

    def forward(self, common: Tensor, by_task: Tensor) -> tuple[Tensor, Tensor]:
        """The next level's inputs.

        Args:
            common: What the shared experts see, [B, inputs].
            by_task: What each task's own experts see, [B, tasks, inputs], or [B, inputs] if all see the same.

        Returns:
            The same for the next level: [B, H] and [B, tasks, H].
        """
        shared = self.shared(common)
        own = self.own(by_task if by_task.dim() == 2 else by_task.repeat_interleave(self.split[0], dim=1))
        of_own, of_shared = self.gates(by_task).softmax(-1).split(self.split, dim=-1)
        own_by_task = own.unflatten(1, (-1, self.split[0]))
        mixed = mixture(of_shared, shared) + (of_own.unsqueeze(-1) * own_by_task).sum(2)
        return mixture(self.common_gate(common).softmax(-1), torch.cat([own, shared], dim=1)), mixed


class PLEHead(nn.Module):
    """The last level's experts of a task's own, its gate and its tower.

    Args:
        inputs: Number of columns that the last level sees, :attr:`PLEEncoder.features`.
        hidden: Width of each layer of an expert, as the encoder's.
        outputs: Number of outputs.
        shared: Number of shared experts, as the encoder's.
        own: Number of experts of its own.
        tower_hidden: Width of each hidden layer of the tower; by default it is linear.
        position: Which of the encoder's tasks this is; 0 if the encoder has one level.
        dropout: Share of each layer's outputs that training drops.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        shared: int = 4,
        own: int = 1,
        tower_hidden: Sequence[int] = (),
        position: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.position = position
        self.split = (own, shared)
        self.own = Experts(inputs, hidden, own, dropout)
        self.gate = nn.Linear(inputs, own + shared)
        self.tower = tower(hidden[-1], tower_hidden, outputs, dropout)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """What the encoder returns to outputs [B, outputs]."""
        x, shared = features[self.position], features[-1]
        of_own, of_shared = self.gate(x).softmax(-1).split(self.split, dim=-1)
        mixed: Tensor = self.tower(mixture(of_own, self.own(x)) + mixture(of_shared, shared))
        return mixed
