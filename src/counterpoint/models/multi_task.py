"""An encoder, a FanOut, and one head a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from counterpoint.balancing import FanOut, Uniform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MultiTaskModel(nn.Module):
    """One shared encoder with one head a task.

    Args:
        encoder: Maps the input to features: a tensor, or a tuple of several (scales, experts).
        heads: One module a task; each takes what the encoder returns, a tuple if that is one.
        fan_out: How the tasks' gradients are combined; by default their plain sum. With ``heads="weighted"`` it is
            told the heads.

    Attributes:
        tasks: Names of the tasks, in the order of ``heads``.

    Raises:
        ValueError: if there is no head, or the heads are for other tasks than the FanOut's.

    Example:
        >>> import torch
        >>> from counterpoint import FanOut, MGDA
        >>> model = MultiTaskModel(nn.Linear(4, 3), {"a": nn.Linear(3, 1), "b": nn.Linear(3, 2)},
        ...                        FanOut(MGDA(), ["a", "b"]))
        >>> {task: tuple(output.shape) for task, output in model(torch.ones(5, 4)).items()}
        {'a': (5, 1), 'b': (5, 2)}
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, nn.Module], fan_out: FanOut | None = None) -> None:
        super().__init__()
        if not heads:
            raise ValueError("heads is empty, expected one head a task")
        self.tasks = tuple(heads)
        self.fan_out = FanOut(Uniform(), self.tasks) if fan_out is None else fan_out
        if set(self.fan_out.tasks) != set(self.tasks):
            raise ValueError(
                f"heads are for tasks {sorted(self.tasks)}, expected those of the FanOut, "
                f"{sorted(self.fan_out.tasks)}: give both the same names"
            )
        self.encoder = encoder
        self._heads = nn.ModuleDict({_key(task): head for task, head in heads.items()})
        self.fan_out.attach(self.heads)

    @property
    def heads(self) -> dict[str, nn.Module]:
        """The heads by task."""
        return {task: self._heads[_key(task)] for task in self.tasks}

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Outputs by task.

        Args:
            x: Input of the encoder, [B, ...].
            tasks: The tasks wanted, for example those that this batch has labels for; all by default.

        Raises:
            ValueError: for an unknown task.
        """
        features = self.fan_out(self.encoder(x), tasks)
        heads = self.heads
        return {task: heads[task](own) for task, own in features.items()}

    def served_state(self) -> dict[str, Any]:
        """State of encoder and heads: what serves, without what a weighting remembers."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("fan_out.")}

    def load_served_state(self, state: Mapping[str, Any]) -> None:
        """Takes :meth:`served_state`; the FanOut stays as it is.

        Raises:
            RuntimeError: if something is missing, of another shape, or too much.
        """
        balance = {name: value for name, value in self.state_dict().items() if name.startswith("fan_out.")}
        self.load_state_dict({**balance, **state})


def _key(task: str) -> str:
    """A name that a ModuleDict takes: parameters are saved by task, and a task may be called "price.usd" or "type"."""
    return "task_" + task.replace("%", "%25").replace(".", "%2E")
