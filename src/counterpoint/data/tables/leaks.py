"""The leak guard: columns that determine a target almost exactly, which real predictors hardly ever do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from counterpoint.data.tables.target import Target

# A column that explains so much of a target alone is reported. Of diamonds' price, carat explains 0.85.
REPORTED_FROM = 0.999
_BINS, _ROWS_A_BIN = 256, 8
# Of a class with fewer rows, nothing can be said about how well it is told from others.
_FEWEST_ROWS = 5


@dataclass(frozen=True)
class Leak:
    """A column that determines a target almost exactly.

    Attributes:
        column: The column.
        target: The target.
        strength: How much of the target the column alone determines on rows that were not used to find out how: R^2,
            or balanced accuracy beyond chance; from 0 to 1.
        sentence: What to tell people.
    """

    column: str
    target: str
    strength: float
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, by name."""
        return asdict(self)


def find_leaks(
    columns: Mapping[str, np.ndarray], targets: Mapping[Target, np.ndarray], categories: Collection[str] = ()
) -> tuple[Leak, ...]:
    """Tests every column against every target.

    Numbers are cut into up to 256 bins of equally many rows, or values where they repeat; categories are bins. The mean
    or the majority class of each bin in half of the rows predicts the other half. For numeric targets the squared rank
    correlation counts as well: it sees every increasing function, such as a price in another currency.

    Args:
        columns: Numbers or category codes of training rows in random order, [N], NaN where missing.
        targets: Each target with its encoded labels of these rows (NaN or -100: none).
        categories: The columns whose numbers are codes of categories.

    Example:
        >>> from counterpoint.data.tables.target import Target
        >>> price = np.random.default_rng(0).random(1_000)
        >>> [leak.column for leak in find_leaks({"euro": 0.9 * price}, {Target("price", "regression"): price})]
        ['euro']
    """
    found = []
    for column, values in columns.items():
        bins = _bins(values, category=column in categories)
        for target, labels in targets.items():
            if target.classes:
                strength = _told_apart(bins, labels)
            else:
                strength = max(_explained(bins, labels), _monotone(values, labels))
            if strength >= REPORTED_FROM:
                sentence = (
                    f"Column {column!r} alone determines {target.name!r} almost exactly ({strength:.4f} of 1): if it "
                    f"is known only when {target.name!r} is, leave it out (--drop {column})."
                )
                found.append(Leak(column, target.name, strength, sentence))
    return tuple(found)


def _bins(values: np.ndarray, *, category: bool) -> np.ndarray:
    """A bin for each row, [N] from 0; missing values have one of their own."""
    present = ~np.isnan(values)
    bins = np.zeros(len(values), dtype=np.int64)
    distinct, places = np.unique(values[present], return_inverse=True)
    # Half of a bin's rows have to tell about the other half: some rows each, of values that hardly repeat.
    most = min(_BINS, int(present.sum()) // _ROWS_A_BIN)
    if len(distinct) > most and not category:
        edges = np.quantile(values[present], np.linspace(0, 1, most + 1)[1:-1]) if most > 1 else []
        places = np.searchsorted(np.unique(edges), values[present])
    bins[present] = places + 1
    return bins


def _halves(labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(labelled)
    return rows[::2], rows[1::2]


def _explained(bins: np.ndarray, labels: np.ndarray) -> float:
    """R^2 of the bins' means on the other half."""
    learn, check = _halves(~np.isnan(labels))
    if len(check) < 2 * _FEWEST_ROWS:
        return 0.0
    counts = np.bincount(bins[learn], minlength=bins.max() + 1)
    sums = np.bincount(bins[learn], weights=labels[learn], minlength=bins.max() + 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), labels[learn].mean())
    spread = np.square(labels[check] - labels[check].mean()).sum()
    return float(1 - np.square(labels[check] - means[bins[check]]).sum() / spread) if spread > 0 else 0.0


def _monotone(values: np.ndarray, labels: np.ndarray) -> float:
    """Squared rank correlation; of few distinct values, ranks say little about the numbers."""
    from scipy.stats import rankdata  # noqa: PLC0415

    both = ~np.isnan(values) & ~np.isnan(labels)
    x, y = values[both], labels[both]
    if len(np.unique(x)) <= 2 * _FEWEST_ROWS or both.sum() < 0.5 * (~np.isnan(labels)).sum():
        return 0.0
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1] ** 2) if len(np.unique(y)) > 1 else 0.0


def _told_apart(bins: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy of the bins' majority classes on the other half, 0 for chance, 1 for always right."""
    learn, check = _halves(labels >= 0)
    if not len(check):
        return 0.0
    classes = int(labels.max()) + 1
    tally = np.bincount(bins[learn] * classes + labels[learn], minlength=(bins.max() + 1) * classes)
    votes = tally.reshape(-1, classes)
    majority = np.where(votes.any(axis=1), votes.argmax(axis=1), np.bincount(labels[learn], minlength=classes).argmax())
    right = majority[bins[check]] == labels[check]
    rows = np.bincount(labels[check], minlength=classes)
    judged = rows >= _FEWEST_ROWS
    if judged.sum() < 2:
        return 0.0
    recall = np.bincount(labels[check], weights=right, minlength=classes)[judged] / rows[judged]
    chance = 1 / judged.sum()
    return float((recall.mean() - chance) / (1 - chance))
