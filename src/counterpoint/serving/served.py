"""What serves: an encoder with the heads of the tasks that it serves, and nothing that only training needs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from counterpoint.models import MultiTaskModel, TableNetwork
    from counterpoint.serving.custom import CustomNetwork


class ServedModel(nn.Module):
    """An encoder and heads, for evaluation alone and in single precision.

    Inputs are [N, ...], outputs a tuple of [N, outputs], one a task.

    Args:
        encoder: What comes before the heads.
        heads: The heads by task; the outputs come in this order.

    Example:
        >>> import torch
        >>> model = ServedModel(nn.Linear(3, 2), {"price": nn.Linear(2, 1), "cut": nn.Linear(2, 5)})
        >>> [tuple(output.shape) for output in model(torch.zeros(4, 3))]
        [(4, 1), (4, 5)]
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.tasks = tuple(heads)
        self.encoder = encoder
        self.heads = nn.ModuleDict({_key(task): head for task, head in heads.items()})
        self.float().eval().requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs in the order of ``tasks``."""
        features = self.encoder(x)
        return tuple(_column(head(features)) for head in self.heads.values())


def _column(outputs: Tensor) -> Tensor:
    return outputs.unsqueeze(1) if outputs.dim() == 1 else outputs


def _key(task: str) -> str:
    """A name that a ModuleDict takes, whatever the task is called; part of the bundle's format."""
    return "task_" + task.replace("%", "%25").replace(".", "%2E")


class ServedNetwork:
    """One network of a bundle.

    Args:
        network: How encoder and heads are built.
        tasks: The tasks that it was trained on.
        serves: Those of them that it predicts.
        model: Returns encoder and heads of the served tasks; called once, when they are first needed.

    Attributes:
        network: How encoder and heads are built.
        tasks: The tasks that it was trained on.
        serves: Those of them that it predicts.

    Example:
        >>> from counterpoint.models import MultiTaskModel, TableNetwork
        >>> description = TableNetwork("mlp", inputs=3, hidden=(4,))
        >>> trained = MultiTaskModel(description.encoder(["a", "b"]),
        ...                          {task: description.head(task, 1) for task in ("a", "b")})
        >>> served = ServedNetwork.of(trained, description, serves=["b"])
        >>> served.model.tasks
        ('b',)
    """

    def __init__(
        self,
        network: TableNetwork | CustomNetwork,
        tasks: Sequence[str],
        serves: Sequence[str],
        model: Callable[[], ServedModel],
    ) -> None:
        self.network = network
        self.tasks = tuple(tasks)
        self.serves = tuple(serves)
        self._load = model
        self._model: ServedModel | None = None

    @classmethod
    def of(
        cls, model: MultiTaskModel, network: TableNetwork | CustomNetwork, serves: Sequence[str] | None = None
    ) -> ServedNetwork:
        """From a trained model, which is copied (to the CPU, in single precision) and not changed.

        Args:
            model: The trained model.
            network: How its encoder and heads were built.
            serves: The tasks to predict; by default all that the model has.

        Raises:
            ValueError: if the model does not have a task that it shall serve.
        """
        serves = model.tasks if serves is None else tuple(serves)
        if unknown := [task for task in serves if task not in model.tasks]:
            raise ValueError(f"task {unknown[0]!r} is to be served by a model of tasks {list(model.tasks)}")
        heads = model.heads
        parts = copy.deepcopy(nn.ModuleList([model.encoder, *(heads[task] for task in serves)])).cpu()
        encoder, *own = parts
        served = ServedModel(encoder, dict(zip(serves, own, strict=True)))
        return cls(network, model.tasks, serves, lambda: served)

    @property
    def model(self) -> ServedModel:
        """Encoder and heads of the served tasks, loaded now if they were not."""
        if self._model is None:
            self._model = self._load()
        return self._model

    def __repr__(self) -> str:
        return f"ServedNetwork(tasks={self.tasks}, serves={self.serves}, {self.network.describe()})"
