"""What a trained network says about every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoint.data import Rows
    from counterpoint.training.module import MultiTaskModule


def predict_split(module: MultiTaskModule, split: Rows, batch_size: int = 4096) -> dict[str, Tensor]:
    """Raw outputs of every head for every row, in the rows' order; labels are not looked at.

    The network computes as in evaluation, where it is, and is left as it was.

    Args:
        module: A trained module.
        split: The rows: a :class:`Split`, or others.
        batch_size: Rows at once; it changes outputs by no more than rounding.

    Returns:
        For each task a tensor [N, ...] on the CPU.

    Raises:
        ValueError: if there are no rows, or for a batch size below 1.

    Example:
        >>> from torch import nn
        >>> from counterpoint import MultiTaskModel, Task
        >>> from counterpoint.data import Split
        >>> from counterpoint.training import MultiTaskModule
        >>> model = MultiTaskModel(nn.Linear(4, 3), {"a": nn.Linear(3, 2)})
        >>> module = MultiTaskModule(model, [Task.classification("a", 2)])
        >>> predict_split(module, Split(torch.zeros(5, 4), {}))["a"].shape
        torch.Size([5, 2])
    """
    if not len(split):
        raise ValueError("the split has no rows, expected at least one to predict")
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            parts = [_said(module, inputs) for inputs, _ in split.only(()).batches(batch_size)]
    finally:
        for part, training in modes:
            part.training = training
    return {task: torch.cat([outputs[task] for outputs in parts]) for task in module.model.tasks}


def _said(module: MultiTaskModule, inputs: Tensor) -> dict[str, Tensor]:
    """Of a batch, on the CPU at once: dense outputs of all rows do not fit beside a network."""
    return {task: outputs.cpu() for task, outputs in module.model(inputs.to(module.device)).items()}
