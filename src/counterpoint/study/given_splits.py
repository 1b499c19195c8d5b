"""Training, validation and test rows of Datasets, in whichever way somebody has them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoint.study.collected import PARTS

if TYPE_CHECKING:
    from counterpoint.study.study import Study


def given_splits(study: Study) -> dict[str, Any]:
    """By split what yields rows.

    Raises:
        ValueError: for data of another form than expected, or that cannot be built.
    """
    data = study.data
    if isinstance(data, Mapping) and "class_path" in data:
        data = _instance(data)
    if isinstance(data, Mapping):
        if missing := [part for part in PARTS if part not in data]:
            raise ValueError(f"data have no {missing[0]!r}, expected Datasets for 'train', 'validation' and 'test'")
        return {part: data[part] for part in PARTS}
    if hasattr(data, "train_dataloader"):
        torch.manual_seed(0)
        for step in ("prepare_data", "setup"):
            if callable(prepare := getattr(data, step, None)):
                prepare(*(() if step == "prepare_data" else (None,)))
        loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        return dict(zip(PARTS, loaders, strict=True))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        order = np.random.default_rng(study.split_seed).permutation(len(data))
        ends = np.cumsum([round(study.validation * len(order)), round(study.test * len(order))])
        validation, test, train = np.split(order, ends)
        chosen = {"train": train, "validation": validation, "test": test}
        return {part: torch.utils.data.Subset(data, np.sort(rows).tolist()) for part, rows in chosen.items()}
    raise ValueError(
        f"data are {type(data).__name__}, expected a table's path, a DataFrame, a Dataset of (x, {{task: y}}), a "
        "mapping of three, or a LightningDataModule"
    )


def _instance(path: Mapping[str, Any]) -> Any:
    home, _, name = str(path["class_path"]).rpartition(".")
    try:
        found = getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"cannot import '{path['class_path']}' ({error}): name a class that Python can import"
        ) from None
    try:
        return found(**(path.get("init_args") or {}))
    except TypeError as error:
        raise ValueError(f"cannot build '{path['class_path']}': {error}") from None
