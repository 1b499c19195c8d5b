"""Projections onto the dual cone of hundreds of gradients: every row at once, as products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# Sets are found in fp32 to about its precision, then corrected in fp64 to this residual, relative to the largest slope.
_ROUGH, _FINE = 1e-5, 1e-9
_ROUNDS, _CORRECTIONS = 12, 8
# While most of the sets are wrong, solving for them is a waste.
_FIRST_ITERATIONS, _ITERATIONS, _ITERATIONS_OF_CORRECTION = 3, 6, 12
# Eigenvalues above this one, where their mean is 1, are worth a preconditioner; at most so many of them.
_LARGE, _MOST_LARGE = 3.0, 32


def many_projections(gram: Array, slopes: Array, free: Array) -> tuple[Array, Array, Array]:
    """Solves z >= 0, s + G z >= 0, z (s + G z) = 0 for each row s of slopes.

    Block principal pivoting, as in :class:`PivotingProjector`, whose linear systems are solved by conjugate gradients
    for all rows together: an iteration is one product [k, T] x [T, T], masked to each row's own set. A direct solution
    takes T^3 operations for each of T rows. Large eigenvalues, which many tasks that pull together make, are taken out
    by a preconditioner. With 500 tasks that is 20 to 65 products in all, 0.1 to 0.3 s on two idle cores. Where it does
    not come to an end, it says for which rows.

    Args:
        gram: G [T, T], positive definite.
        slopes: [k, T].
        free: [k, T], where z is first supposed to be positive.

    Returns:
        z [k, T]; the sets where it is positive, [k, T]; which rows are solved, [k].
    """
    sizes = 1 / np.sqrt(gram.diagonal())  # in units of which all gradients have the same length
    gram = gram * sizes * sizes[:, None]
    slopes = slopes * sizes
    scale = np.abs(slopes).max(axis=1, keepdims=True)
    scale[scale == 0] = 1.0
    slopes = slopes / scale
    rough = _Rough(gram)
    z, free = _sets(rough, slopes.astype(np.float32), free.copy())
    raised = z.astype(np.float64)
    open_ = np.arange(len(slopes))
    for _ in range(_CORRECTIONS):
        raised[open_] *= free[open_]
        after = slopes[open_] + raised[open_] @ gram
        inside = free[open_]
        wrong = np.where(inside, raised[open_], after) < -_FINE
        miss = np.where(inside, np.abs(after), 0.0).max(axis=1, keepdims=True)
        left = (miss[:, 0] > _FINE) | wrong.any(axis=1)
        free[open_] ^= wrong
        open_, wrong, after = open_[left], wrong[left], after[left]
        if not len(open_):
            break
        if wrong.any():
            raised[open_] *= free[open_]
            after = slopes[open_] + raised[open_] @ gram
        inside = free[open_]
        miss = np.where(inside, np.abs(after), 0.0).max(axis=1, keepdims=True)
        miss[miss == 0] = 1.0
        correction = np.zeros(after.shape, dtype=np.float32)
        rest = (after / miss).astype(np.float32)
        _conjugate_gradients(rough, inside, rest, correction, _ITERATIONS_OF_CORRECTION)
        raised[open_] += correction * miss
    solved = np.ones(len(slopes), dtype=bool)
    solved[open_] = False
    return np.maximum(raised, 0.0) * scale * sizes, free, solved


def _sets(rough: _Rough, slopes: Array, free: Array) -> tuple[Array, Array]:
    """Where z is positive, and z, as far as fp32 tells."""
    z = np.zeros_like(slopes)
    open_ = np.arange(len(slopes))
    for number in range(_ROUNDS):
        inside = free[open_]
        own = z[open_] * inside
        after = slopes[open_] + own @ rough.gram if number else slopes.copy()
        iterations = _FIRST_ITERATIONS if number < 2 else _ITERATIONS
        miss = _conjugate_gradients(rough, inside, after, own, iterations)
        z[open_] = own
        wrong = np.where(inside, own, after) < -_ROUGH
        free[open_] ^= wrong
        open_ = open_[wrong.any(axis=1) | (miss > _ROUGH)]
        if not len(open_):
            break
    return z, free


def _conjugate_gradients(rough: _Rough, inside: Array, after: Array, z: Array, iterations: int) -> Array:
    """Changes z [k, T] in place so that the slopes ``after`` = s + G z, changed along, become zero in each row's set.

    Returns:
        The norm of what is left of them, [k].
    """
    mask = inside.astype(np.float32)
    precondition = rough.preconditioner(mask)
    residual = -after * mask
    direction = precondition(residual)
    size = np.einsum("ij,ij->i", residual, direction)
    for _ in range(iterations):
        change = direction @ rough.gram
        step = (size / np.maximum(np.einsum("ij,ij->i", direction, change), 1e-30))[:, None]
        z += step * direction
        change *= step
        after += change
        change *= mask
        residual -= change
        preconditioned = precondition(residual)
        new = np.einsum("ij,ij->i", residual, preconditioned)
        if new.max(initial=0.0) < _ROUGH**2:
            break
        direction *= (new / np.maximum(size, 1e-30))[:, None]
        direction += preconditioned
        size = new
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", residual, residual)))


class _Rough:
    """A Gram matrix with ones on its diagonal in fp32, with its large eigenvalues to precondition its minors."""

    def __init__(self, gram: Array) -> None:
        self.gram = gram.astype(np.float32)
        T = len(gram)
        basis = np.random.default_rng(0).standard_normal((T, min(T, _MOST_LARGE)))
        for _ in range(3):
            basis = np.linalg.qr(gram @ basis)[0]
        values, rotation = np.linalg.eigh(basis.T @ gram @ basis)
        kept = values > _LARGE
        others = max((T - values[kept].sum()) / max(T - int(kept.sum()), 1), 1e-6)
        self._vectors = (basis @ rotation[:, kept]).astype(np.float32)
        self._ridge = (others / (values[kept] - others)).astype(np.float32)

    def preconditioner(self, mask: Array) -> Any:
        """The inverse of the large part and a multiple of one, within each row's set: [k, T] -> [k, T]."""
        vectors, r = self._vectors, self._vectors.shape[1]
        if not r:
            return np.copy
        outer = (vectors[:, :, None] * vectors[:, None, :]).reshape(len(vectors), -1)
        cores = (mask @ outer).reshape(-1, r, r)
        cores[:, range(r), range(r)] += self._ridge
        inverses = np.linalg.inv(cores)

        def apply(residual: Array) -> Array:
            along = np.matmul(inverses, (residual @ vectors)[:, :, None])[:, :, 0]
            return np.asarray(residual - (along @ vectors.T) * mask)

        return apply
