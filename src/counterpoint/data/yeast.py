"""Fourteen yes-or-no questions about a gene of yeast: a table with many related targets that ships with river."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from counterpoint.data.split import Split
from counterpoint.data.whole_numbers import checked_numbers

TASKS = tuple(f"class-{number}" for number in range(1, 15))
_ROWS, _FEATURES = 2_417, 103


@dataclass(frozen=True)
class Yeast:
    """Genes of yeast with 14 functional classes each (Elisseeff & Weston, NeurIPS 2001).

    2,417 rows of 103 micro-array and phylogenetic features; a gene belongs to 4 classes on average. Features are
    standardized with the training rows' mean and deviation.

    Attributes:
        validation_rows: Number of validation rows.
        test_rows: Number of test rows; what is left is for training.
        seed: Chooses the rows of each split. Every class is in all of them.

    Raises:
        ValueError: if a split has less than one row, or for a negative seed.

    Example:
        >>> splits = Yeast().splits()
        >>> {name: len(split) for name, split in splits.items()}
        {'train': 1417, 'validation': 400, 'test': 600}
        >>> splits["train"].inputs.shape, len(splits["train"].targets)
        (torch.Size([1417, 103]), 14)
    """

    validation_rows: int = 400
    test_rows: int = 600
    seed: int = 0

    def with_seed(self, seed: int) -> Yeast:
        """The same rows, split by another seed."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, Split]:
        """The three splits: inputs fp32 [N, 103], targets int64 [N] of 0 and 1 for each of the 14 tasks."""
        checked_numbers(seed=(self.seed, 0))
        features, labels = _table()
        train_rows = _ROWS - self.validation_rows - self.test_rows
        sizes = {"train": train_rows, "validation": self.validation_rows, "test": self.test_rows}
        for name, rows in sizes.items():
            if rows < 1:
                raise ValueError(f"yeast has {_ROWS:,} rows, which leaves {rows} for {name}, expected at least 1")
        rng = np.random.default_rng(self.seed)
        # The rarest class has 34 rows: without care a split may lack it, and a score of nothing is none.
        order = _spread(labels[:, int(labels.sum(0).argmin())] > 0, rng)
        ends = np.cumsum(list(sizes.values()))
        parts = dict(zip(sizes, np.split(order, ends[:-1]), strict=True))
        mean, deviation = features[parts["train"]].mean(0), features[parts["train"]].std(0)
        scaled = torch.from_numpy(((features - mean) / np.maximum(deviation, 1e-12)).astype(np.float32))
        targets = torch.from_numpy(labels)
        return {
            name: Split(scaled[rows], {task: targets[rows, column] for column, task in enumerate(TASKS)})
            for name, rows in parts.items()
        }


def _spread(rare: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of all rows in which the rare ones are spread evenly."""
    places = np.empty(len(rare))
    for kind in (rare, ~rare):
        count = int(kind.sum())
        places[kind] = (rng.permutation(count) + rng.random(count)) / count
    return np.argsort(places)


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd  # noqa: PLC0415  (a second to load)

    package = importlib.util.find_spec("river")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the yeast data come with river: pip install river", name="river")
    table = pd.read_csv(Path(package.origin).parent / "datasets" / "yeast.csv.gz")
    if table.shape != (_ROWS, _FEATURES + len(TASKS)):
        raise ValueError(f"river's yeast data are {table.shape}, expected {(_ROWS, _FEATURES + len(TASKS))}")
    values = table.to_numpy(dtype=np.float64)
    return values[:, :_FEATURES], values[:, _FEATURES:].astype(np.int64)
