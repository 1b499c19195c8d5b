"""Which rows train, which choose and which test: rows by their number, decided by a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPLITS = ("train", "validation", "test")
# Fewer rows than this make no three splits that say anything.
FEWEST_ROWS = 10
# Orders of groups that are tried at most, and by what share of the rows a split may be off without trying another.
_ORDERS, _NEAR_ENOUGH = 20, 0.05


def shares(validation: float, test: float) -> np.ndarray:
    """Shares of the rows for training, validation and test."""
    return np.array([1.0 - validation - test, validation, test])


def split_randomly(rows: int, share: np.ndarray, seed: int) -> np.ndarray:
    """The split of each row, [N] of 0 (train), 1 (validation), 2 (test).

    Example:
        >>> np.bincount(split_randomly(100, shares(0.15, 0.15), seed=0)).tolist()
        [70, 15, 15]
    """
    places = np.repeat(np.arange(3, dtype=np.int8), _quotas(share * rows, rows))
    return np.random.default_rng(seed).permutation(places)


def split_stratified(labels: Sequence[np.ndarray], share: np.ndarray, seed: int) -> np.ndarray:
    """Splits rows so that every class of every target has its share of each split, as nearly as can be.

    Iterative stratification (Sechidis et al., ECML PKDD 2011, "On the stratification of multi-label data"), a class at
    a time rather than a row at a time: the rarest class first; its rows that no rarer class has placed yet go where
    the class still lacks rows. A class of one row trains.

    Args:
        labels: For each target the class number of each row, [N]; -1 where a row has none.
        share: Shares of the three splits.
        seed: Shuffles the rows of a class.

    Returns:
        [N] of 0 (train), 1 (validation), 2 (test).

    Example:
        >>> classes = np.repeat([0, 1], [180, 20])
        >>> split = split_stratified([classes], shares(0.2, 0.2), seed=0)
        >>> np.bincount(split[classes == 1]).tolist()
        [12, 4, 4]
    """
    rng, rows = np.random.default_rng(seed), len(labels[0])
    split = np.full(rows, -1, dtype=np.int8)
    shuffled = rng.permutation(rows)
    classes: list[np.ndarray] = []
    for target in labels:
        order = shuffled[np.argsort(target[shuffled], kind="stable")]
        edges = np.flatnonzero(np.diff(target[order])) + 1
        classes += [members for members in np.split(order, edges) if target[members[0]] >= 0]
    # Rows that splits lack by rounding so far: else many small classes would all be rounded into the same split.
    owed = np.zeros(3)
    for members in sorted(classes, key=len):
        free = members[split[members] < 0]
        placed = np.bincount(split[members[split[members] >= 0]], minlength=3)
        wanted = share * len(members) - placed
        quotas = np.array([len(free), 0, 0]) if len(members) == 1 else _quotas(wanted, len(free), owed)
        owed += _exact(wanted, len(free)) - quotas
        split[free] = np.repeat(np.arange(3, dtype=np.int8), quotas)
    free = shuffled[split[shuffled] < 0]
    placed = np.bincount(split[split >= 0], minlength=3)
    split[free] = np.repeat(np.arange(3, dtype=np.int8), _quotas(share * rows - placed, len(free)))
    return split


def split_by_group(groups: np.ndarray, share: np.ndarray, seed: int, *, column: str) -> np.ndarray:
    """Splits rows so that those of a group stay together: groups in random order go where most rows are lacking.

    Few groups of very different sizes may come in an unlucky order; then the best of some orders is taken.

    Args:
        groups: The number of the group of each row, [N], from 0.
        share: Shares of the three splits.
        seed: Shuffles the groups.
        column: The groups' column, for errors.

    Raises:
        TableError: for fewer than three groups.

    Example:
        >>> split = split_by_group(np.arange(60) // 3, shares(0.2, 0.2), seed=0, column="patient")
        >>> np.bincount(split).tolist()
        [36, 12, 12]
    """
    sizes = np.bincount(groups)
    if len(sizes) < 3:
        raise TableError(
            f"column {column!r} has {len(sizes)} groups, expected at least 3, one a split: group by another column"
        )
    rng, wanted, least = np.random.default_rng(seed), share * len(groups), np.inf
    for _ in range(_ORDERS):
        placed, lacking = _placed(sizes, wanted, rng.permutation(len(sizes)))
        amiss = float(np.abs(lacking).max()) / len(groups)
        if amiss < least:
            of_group, least = placed, amiss
        if amiss <= _NEAR_ENOUGH:
            break
    found: np.ndarray = of_group[groups]
    return found


def _placed(sizes: np.ndarray, wanted: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The split of each group, and how many rows each split lacks (below 0: has too many)."""
    lacking, used = wanted.copy(), np.zeros(3, dtype=bool)
    of_group = np.empty(len(sizes), dtype=np.int8)
    for done, group in enumerate(order):
        # The last groups go to splits that would be left without any.
        open_ = ~used if len(sizes) - done <= (~used).sum() else np.ones(3, dtype=bool)
        chosen = int(np.where(open_, lacking, -np.inf).argmax())
        of_group[group] = chosen
        used[chosen] = True
        lacking[chosen] -= sizes[group]
    return of_group, lacking


def split_by_time(times: np.ndarray, share: np.ndarray, *, column: str) -> np.ndarray:
    """Splits rows by age: the oldest train, the newest test; rows of one time stay together, on the older side.

    Args:
        times: [N], finite.
        share: Shares of the three splits.
        column: The times' column, for errors.

    Raises:
        TableError: if rows of one time leave a split empty.

    Example:
        >>> split_by_time(np.array([5, 1, 4, 2, 3.0, 6, 7, 8, 9, 10]), shares(0.2, 0.2), column="day").tolist()
        [0, 0, 0, 0, 0, 0, 1, 1, 2, 2]
    """
    ordered = np.sort(times)
    ends = np.cumsum(_quotas(share * len(times), len(times)))[:2]
    last_train, last_validation = ordered[ends - 1]
    split = np.where(times <= last_train, 0, np.where(times <= last_validation, 1, 2)).astype(np.int8)
    for place, name in enumerate(SPLITS):
        if not (split == place).any():
            raise TableError(
                f"column {column!r} has too few different times: none is left for {name} rows; split by another column"
            )
    return split


def _quotas(wanted: np.ndarray, rows: int, owed: np.ndarray | None = None) -> np.ndarray:
    """Whole numbers as near to what is wanted as can be, which sum to ``rows``; ties go to the first.

    With ``owed``, what is rounded up is also decided by what was rounded before.
    """
    exact = _exact(wanted, rows)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    rest = exact - whole
    # Rounded, so that of equal remainders the first wins on every machine.
    claims = np.round(rest if owed is None else np.where(rest > 1e-9, rest + owed, -np.inf), 9)
    order = np.argsort(-claims, kind="stable")
    whole[order[: rows - whole.sum()]] += 1
    return whole


def _exact(wanted: np.ndarray, rows: int) -> np.ndarray:
    """What is wanted (nothing below 0), in proportion, so that it sums to ``rows``."""
    wanted = np.maximum(wanted, 0.0)
    total = wanted.sum()
    return wanted * (rows / total) if total > 0 else np.array([float(rows), 0.0, 0.0])


def ensure_training_classes(split: np.ndarray, labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Moves a row into training for each class that has none there: a network cannot learn what it never sees.

    Args:
        split: [N] of 0, 1, 2.
        labels: For each target the class number of each row; -1 where a row has none.
    """
    split = split.copy()
    for target in labels.values():
        present = np.unique(target[target >= 0])
        for absent in np.setdiff1d(present, target[split == 0]):
            split[np.flatnonzero(target == absent)[0]] = 0
    return split
