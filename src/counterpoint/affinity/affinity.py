"""A labelled matrix of affinities. Imports neither torch nor pandas."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.affinity.heat_map import heat_map
from counterpoint.affinity.storage import from_document, read_document, to_document, write_document
from counterpoint.names import checked_names, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Affinity:
    """How much a step on one task lowers another task's loss: row = the task that steps, column = the one affected.

    Entry [i, j] is the mean over measured steps of 1 - L_j(after a step on i) / L_j(before), the inter-task affinity of
    `Fifty et al., NeurIPS 2021 <https://arxiv.org/abs/2109.04617>`_, Eq. 1: the share of L_j that i's step took away.
    Positive: i's step helps j. It has no unit, unless it was divided by the learning rate.

    Args:
        values: [T, T], fp64; NaN for a pair that was never measured.
        tasks: Names of the T tasks.
        steps: Number of measured steps.
        standard_error: [T, T] of ``values``; NaN where unknown. From one meter it takes measured steps for independent
            draws from one distribution, which training steps are not quite: neighbours resemble each other, and
            affinities drift. From :meth:`mean` it is the spread over the matrices given, for example over seeds.
        counts: [T, T], number of steps behind each entry, 0 where it was never measured.
        method: How it was measured: ``"first-order"``, ``"lookahead"``, ``"features"``, ``"cosine"``, or anything.
        phases: The same over the ``"beginning"``, ``"middle"`` and ``"end"`` thirds of the measured steps.
        about: Facts for people, such as the rule by which the task stepped; numbers, strings, true or false.

    Raises:
        ValueError: for a matrix that is not [T, T], that holds an infinity, or NaN where ``counts`` is not 0; for no
            tasks, one given twice, or counts that are none.
        TypeError: if the tasks are not names.

    Example:
        >>> affinity = Affinity([[0.3, 0.1], [-0.2, 0.4]], ["left", "right"])
        >>> affinity["right", "left"]
        -0.2
        >>> affinity.symmetric["left", "right"]
        -0.05
    """

    values: Matrix
    tasks: tuple[str, ...]
    steps: int = 1
    standard_error: Matrix = None  # type: ignore[assignment]
    counts: NDArray[np.int64] = None  # type: ignore[assignment]
    method: str = ""
    phases: Mapping[str, Affinity] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tasks = checked_names(self.tasks)
        values = _square(self.values, tasks, "values")
        if np.isinf(values).any():
            raise ValueError(
                "affinity values hold infinity, expected finite numbers, or NaN where nothing was measured"
            )
        error = np.full_like(values, np.nan) if self.standard_error is None else self.standard_error
        counts = np.where(np.isnan(values), 0, self.steps) if self.counts is None else self.counts
        numbers = _square(counts, tasks, "counts")
        if not ((numbers >= 0) & (numbers < 2**53)).all():
            raise ValueError("affinity counts hold something else than numbers of steps, expected integers from 0 on")
        counts = numbers.astype(np.int64)
        if bool((np.isnan(values) & (counts > 0)).any()):
            raise ValueError("affinity values hold NaN where something was measured, expected finite numbers")
        fixed = {
            "tasks": tasks,
            "values": values,
            "standard_error": _square(error, tasks, "standard_error"),
            "counts": counts,
            "phases": dict(self.phases),
            "about": dict(self.about),
        }
        for name, value in fixed.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """Affinity of the first task onto the second.

        Raises:
            ValueError: for an unknown task.
            TypeError: for anything but two names.
        """
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"affinity[{pair!r}], expected two tasks: affinity['the one that steps', 'the one affected']"
            )
        i, j = (self._position(name) for name in pair)
        return float(self.values[i, j])

    def _position(self, name: str) -> int:
        return self.tasks.index(known(name, self.tasks))

    def __repr__(self) -> str:
        method = f", method={self.method!r}" if self.method else ""
        return f"Affinity({len(self.tasks)} tasks, {self.steps} steps{method})"

    def phase(self, name: str) -> Affinity:
        """One third of the measured steps.

        Args:
            name: ``"beginning"``, ``"middle"`` or ``"end"``.

        Raises:
            ValueError: if there is no such phase.
        """
        if name not in self.phases:
            expected = (
                f"one of {list(self.phases)}" if self.phases else "an affinity of AffinityMeter.compute, with phases"
            )
            raise ValueError(f"no phase {name!r}, expected {expected}")
        return self.phases[name]

    def select(self, tasks: Iterable[str]) -> Affinity:
        """The rows and columns of some tasks, in the order given.

        Raises:
            ValueError: for an unknown task, one given twice, or none.
            TypeError: if the tasks are not names.
        """
        tasks = checked_names(tasks)
        at = [self._position(name) for name in tasks]
        pick = np.ix_(at, at)
        phases = {name: phase.select(tasks) for name, phase in self.phases.items()}
        return replace(
            self,
            values=self.values[pick],
            tasks=tasks,
            standard_error=self.standard_error[pick],
            counts=self.counts[pick],
            phases=phases,
        )

    @property
    def symmetric(self) -> Affinity:
        """(Z + Z') / 2: how much two tasks help each other."""
        return self._part((self.values + self.values.T) / 2)

    @property
    def antisymmetric(self) -> Affinity:
        """(Z - Z') / 2: how much more the row helps the column than it is helped by it."""
        return self._part((self.values - self.values.T) / 2)

    def _part(self, values: Matrix) -> Affinity:
        counts = np.minimum(self.counts, self.counts.T)
        return Affinity(values, self.tasks, self.steps, None, counts, self.method, {}, self.about)  # type: ignore[arg-type]

    @classmethod
    def mean(cls, affinities: Iterable[Affinity]) -> Affinity:
        """Mean of several matrices of the same tasks, say of several seeds; each counts once where it has an entry.

        Its ``method`` and ``about`` are those of the first. The standard error is that of the mean over the matrices,
        NaN for a single one.

        Raises:
            ValueError: for none, or for matrices of different tasks.
        """
        affinities = list(affinities)
        if not affinities:
            raise ValueError("affinities is empty, expected at least one Affinity")
        first = affinities[0]
        same = [_aligned(other, first) for other in affinities]
        stack = np.stack([other.values for other in same])
        known = np.isfinite(stack)
        n = known.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(known, stack, 0.0).sum(axis=0) / n
            squares = np.where(known, (stack - mean) ** 2, 0.0).sum(axis=0)
            error = np.where(n > 1, np.sqrt(squares / (n - 1) / n), np.nan)
        phases = {
            name: cls.mean([other.phases[name] for other in same])
            for name in first.phases
            if all(name in other.phases for other in same)
        }
        counts = sum(other.counts for other in same)
        steps = sum(other.steps for other in same)
        return cls(mean, first.tasks, steps, error, counts, first.method, phases, first.about)  # type: ignore[arg-type]

    def spearman(self, other: Affinity) -> float:
        """Rank correlation with another matrix of the same tasks, over the off-diagonal entries that both have.

        Raises:
            ValueError: for matrices of different tasks, or fewer than 3 common entries.
        """
        from scipy.stats import spearmanr  # noqa: PLC0415  (slow to load; only needed here)

        theirs = _aligned(other, self).values
        use = ~np.eye(len(self.tasks), dtype=bool) & np.isfinite(self.values) & np.isfinite(theirs)
        if use.sum() < 3:
            raise ValueError(f"{int(use.sum())} common entries, expected at least 3 for a rank correlation")
        return float(spearmanr(self.values[use], theirs[use]).statistic)

    def to_frame(self) -> pd.DataFrame:
        """The values as a DataFrame: index = the tasks that step, columns = the tasks affected."""
        import pandas as pd  # noqa: PLC0415  (a second to load; only needed here)

        return pd.DataFrame(self.values.copy(), index=list(self.tasks), columns=list(self.tasks))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, steps: int = 1, method: str = "") -> Affinity:
        """A DataFrame with the same names as index and as columns, in any order.

        Raises:
            ValueError: if index and columns differ.
        """
        rows, columns = [str(name) for name in frame.index], [str(name) for name in frame.columns]
        if sorted(rows) != sorted(columns):
            raise ValueError(f"the frame's index is {rows} and its columns are {columns}, expected the same names")
        values = frame.to_numpy(dtype=np.float64)[:, [columns.index(name) for name in rows]]
        return cls(values, tuple(rows), steps, method=method)

    def save(self, path: str | Path) -> None:
        """Writes JSON, completely or not at all.

        Raises:
            ValueError: if the file cannot be written, or ``about`` holds what JSON cannot.
        """
        write_document(path, to_document(self))

    @classmethod
    def load(cls, path: str | Path) -> Affinity:
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: if there is no such file, or it holds something else.
        """
        return from_document(read_document(path), path)

    def to_svg(self, order: Sequence[str] | None = None) -> str:
        """A heat map that stands by itself: blue helps, red hurts; the diagonal, a task's help for itself, saturates.

        Args:
            order: The tasks to show, in this order; all by default.
        """
        shown = self if order is None else self.select(order)
        return heat_map(shown.values, shown.tasks)

    def _repr_svg_(self) -> str:
        return self.to_svg()


def _aligned(affinity: Affinity, like: Affinity) -> Affinity:
    if sorted(affinity.tasks) != sorted(like.tasks):
        raise ValueError(
            f"affinities are of tasks {sorted(like.tasks)} and {sorted(affinity.tasks)}, expected the same"
        )
    return affinity if affinity.tasks == like.tasks else affinity.select(like.tasks)


def _square(matrix: ArrayLike, tasks: tuple[str, ...], what: str) -> Matrix:
    try:
        array = np.array(matrix, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"affinity {what} are no matrix of numbers ({error}), expected [T, T]") from None
    if array.shape != (len(tasks), len(tasks)):
        raise ValueError(
            f"affinity {what} have shape {list(array.shape)}, expected [{len(tasks)}, {len(tasks)}] for tasks "
            f"{list(tasks)}"
        )
    return array
