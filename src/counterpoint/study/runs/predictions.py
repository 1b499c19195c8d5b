"""What a network predicts for every validation and test row: enough to compute every reported number again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from counterpoint.study.source import Unit
from counterpoint.study.study_results import PREDICTIONS
from counterpoint.training.predictions import predict_split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from counterpoint.data import Split
    from counterpoint.study.source import Source
    from counterpoint.tasks import Task
    from counterpoint.training import MultiTaskModule

_BATCH = 4096
JUDGED = ("validation", "test")


def predictions_of(
    module: MultiTaskModule, splits: Mapping[str, Split], source: Source, validation: Mapping[str, Tensor]
) -> pd.DataFrame:
    """One row per split, row and task that has a label there, with the columns of ``PREDICTIONS``.

    ``row`` counts within the split. ``target`` and ``prediction`` are what the metric compares: a class index and the
    most probable one; 0 or 1 and a logit; a value and its prediction in the labels' units (after a transform, if there
    is one); a count and the expected one. ``loss`` is the row's share of the loss. For targets that are not one number
    a row there are none.

    Args:
        module: A trained network.
        splits: The rows.
        source: Where they come from.
        validation: Outputs for labelled validation rows: of epochs that these rows did not choose.
    """
    parts = []
    for split in JUDGED:
        made = predict_split(module, splits[split], _BATCH) if split == "test" else None
        for name, task in module.tasks.items():
            targets = splits[split].targets[name]
            if targets.ndim == 1:
                unit = source.units.get(name, Unit())
                labelled = task.labelled(targets)
                rows = torch.arange(len(targets)) if labelled is None else labelled.nonzero()[:, 0]
                outputs = validation[name] if made is None else made[name][rows]
                parts.append(_one(rows, outputs, targets[rows], task, unit=unit).assign(split=split))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PREDICTIONS)
    return table[PREDICTIONS].astype({"split": "category", "task": "category"})


def _one(rows: Tensor, outputs: Tensor, targets: Tensor, task: Task, *, unit: Unit) -> pd.DataFrame:
    if task.likelihood == "categorical":
        prediction, target = outputs.argmax(1).double(), targets.double()
    else:
        flat = outputs.reshape(len(outputs), -1)
        prediction = flat[:, 0].double() if flat.shape[1] == 1 else torch.full((len(flat),), torch.nan).double()
        prediction, target = unit.mean + unit.scale * prediction, unit.mean + unit.scale * targets.double()
        if unit.logarithmic:
            prediction = prediction.exp()
    return pd.DataFrame(
        {
            "row": rows.numpy().astype(np.int64),
            "task": task.name,
            "target": target.numpy(),
            "prediction": prediction.numpy(),
            "loss": _losses(task, outputs, targets),
        }
    )


def _losses(task: Task, outputs: Tensor, targets: Tensor) -> np.ndarray:
    """The loss of each row by itself; NaN where a loss cannot be taken row by row."""
    if not len(outputs):
        return np.zeros(0)

    def of_row(output: Tensor, target: Tensor) -> Tensor:
        return task.loss(output[None], target[None])

    try:
        losses: Tensor = torch.func.vmap(of_row, chunk_size=_BATCH)(outputs, targets)
        return losses.double().numpy()
    except RuntimeError:
        return np.full(len(outputs), np.nan)
