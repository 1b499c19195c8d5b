"""How much the gradients of tasks conflict. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Gram matrices are measured in single precision or less: products may exceed those of the norms a little.
_ROUNDING = 1e-2


@dataclass(frozen=True, eq=False)
class Conflict:
    """Angles and magnitudes of T task gradients, pair by pair; NaN where unknown.

    Attributes:
        tasks: Names of the tasks.
        cosines: [T, T], of the angle between two gradients; NaN beside an absent task or a gradient of zero.
        magnitude_similarity: [T, T], ``2 |a| |b| / (|a|^2 + |b|^2)``, 1 for equal norms; NaN beside an absent task and
            between two gradients of zero.
        negative_share: Of the pairs of tasks with a known cosine, the share with a negative one; NaN without a pair.
        mean_cosine: Over those pairs; NaN without one.
        mean_magnitude_similarity: Over pairs of tasks that have one; NaN without one.
        by_task: [T], mean cosine with the other tasks; NaN where there is none.
    """

    tasks: tuple[str, ...]
    cosines: Array
    magnitude_similarity: Array
    negative_share: float
    mean_cosine: float
    mean_magnitude_similarity: float
    by_task: Array


def conflict(gram: Any, tasks: Sequence[str] | None = None) -> Conflict:
    """How much the gradients of tasks conflict, from their inner products.

    Two gradients conflict if their cosine is negative (`Yu et al., NeurIPS 2020 <https://arxiv.org/abs/2001.06782>`_,
    Definition 1); Definition 2 is their magnitude similarity. No gradient evaluation: ``fan.last.gram`` has the inner
    products of the last step. One task alone has no pair: all means are NaN.

    Args:
        gram: [T, T], inner products of the task gradients, a tensor or array; or the :class:`StepRecord` that holds
            them, ``fan.last``. Rows and columns of NaN belong to tasks that are absent; so does a gradient that is not
            finite.
        tasks: Names of the tasks; by default those of the record, or "0", "1", ...

    Raises:
        TypeError: if it is something else, such as ``None``, which is ``fan.last`` before the first backward pass.
        ValueError: if it is no Gram matrix (not square, asymmetric, a product larger than that of the norms), or there
            are other names than tasks.

    Example:
        >>> from counterpoint import conflict
        >>> found = conflict([[1.0, -1.0, 0.0], [-1.0, 4.0, 2.0], [0.0, 2.0, 4.0]], tasks=["a", "b", "c"])
        >>> found.cosines[0].tolist(), round(found.negative_share, 3), found.mean_cosine
        ([1.0, -0.5, 0.0], 0.333, 0.0)
        >>> found.magnitude_similarity[0].tolist()
        [1.0, 0.8, 0.8]
    """
    if hasattr(gram, "gram") and hasattr(gram, "tasks"):  # a StepRecord, recognized without torch
        gram, tasks = gram.gram, gram.tasks if tasks is None else tasks
    matrix = _checked(gram)
    names = tuple(map(str, range(len(matrix)))) if tasks is None else tuple(tasks)
    if len(names) != len(matrix) or len(set(names)) != len(names):
        raise ValueError(f"tasks are {list(names)}, expected {len(matrix)} different names, one for each row of gram")
    norms = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    with np.errstate(all="ignore"):
        cosines = np.clip(matrix / norms[:, None] / norms[None, :], -1.0, 1.0)
        small, large = np.minimum.outer(norms, norms), np.maximum.outer(norms, norms)
        quotient = small / large
        similarity = 2.0 * quotient / (1.0 + quotient**2)
    known = ~np.isnan(norms) & (norms > 0.0)
    np.fill_diagonal(cosines, np.where(known, 1.0, np.nan))
    pairs = cosines[np.triu_indices(len(matrix), 1)]
    pairs = pairs[~np.isnan(pairs)]
    others = np.where(np.eye(len(matrix), dtype=bool), np.nan, cosines)
    return Conflict(
        tasks=names,
        cosines=cosines,
        magnitude_similarity=similarity,
        negative_share=float((pairs < 0.0).mean()) if len(pairs) else float("nan"),
        mean_cosine=_mean(pairs),
        mean_magnitude_similarity=_mean(similarity[np.triu_indices(len(matrix), 1)]),
        by_task=np.array([_mean(row) for row in others]),
    )


def _checked(gram: Any) -> Array:
    given = gram
    if hasattr(gram, "detach"):  # a tensor of any precision, on any device
        gram = gram.detach().cpu().to_dense()
        gram = (gram if gram.is_complex() else gram.double()).numpy()
    try:
        matrix = np.full((), np.nan) if gram is None or np.iscomplexobj(gram) else np.array(gram, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.full((), np.nan)
    if matrix.ndim == 0:
        what = "None, as fan.last is before the first backward pass" if given is None else f"a {type(given).__name__}"
        raise TypeError(
            f"gram is {what}, expected real inner products [T, T], or the StepRecord fan.last, which holds them"
        )
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"gram has shape {list(matrix.shape)}, expected [T, T] with at least one task")
    diagonal = matrix.diagonal()
    absent = ~np.isfinite(diagonal)
    matrix[absent] = matrix[:, absent] = np.nan
    matrix[np.isinf(matrix)] = np.nan
    diagonal = np.maximum(matrix.diagonal(), 0.0)
    bound = np.sqrt(diagonal)[:, None] * np.sqrt(diagonal)[None, :]
    slack = _ROUNDING * bound + np.finfo(np.float32).tiny
    with np.errstate(invalid="ignore"):
        if (np.abs(matrix - matrix.T) > slack).any() or (np.abs(matrix) > bound + slack).any():
            raise ValueError(
                "gram is no Gram matrix, expected inner products: symmetric, and none larger than the product of the "
                "two norms"
            )
    return matrix


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
