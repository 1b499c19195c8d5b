"""One stream of random numbers for each generated row."""

from __future__ import annotations

import numpy as np

SPLITS = ("train", "validation", "test")


def row_stream(seed: int, source: int, split: str, row: int) -> np.random.Generator:
    """Random numbers that depend on the seed, the data set, the split and the row alone.

    Rows stay as they are when a split grows, and no two splits share a stream.

    Args:
        seed: The user's seed, 0 or more.
        source: Number of the data set, so that two data sets of one seed have nothing in common.
        split: One of ``"train"``, ``"validation"`` and ``"test"``.
        row: Number of the row in its split.

    Example:
        >>> bool(row_stream(0, 1, "train", 5).random() == row_stream(0, 1, "train", 5).random())
        True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(source, SPLITS.index(split), row)))
