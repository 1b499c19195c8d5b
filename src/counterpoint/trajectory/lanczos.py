"""Extreme eigenpairs of a symmetric operator, repeated eigenvalues included."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Product = Callable[[Array], Array]
    Pairs = tuple[Array, Array, bool]  # values [k], vectors [n, k], whether they converged

# ARPACK's accuracy is relative to the eigenvalue: one of 0 never converges, and others are returned in its place. The
# top one is at least v'Hv >= -|Hv|: shifted by three times that, it is far enough from 0. What is below 1e-11 ARPACK
# takes for 0: the operator is scaled to a size near 1.
_SHIFT = 3.0
# Vectors of a Krylov space unless more eigenvalues are wanted; ARPACK's default.
_BASIS = 20
# An accuracy that is reached at once.
_WHATEVER = 1e30


class Lanczos:
    """ARPACK on an operator that it is safe on.

    Args:
        multiply: The operator.
        n: Its size.
        magnitude: Whether the largest in magnitude are wanted rather than the algebraically largest.
        tolerance: Relative accuracy.
        max_products: After about so many products an answer is given that has not converged.
        seed: Of the starting vectors.
    """

    def __init__(
        self, multiply: Product, n: int, *, magnitude: bool, tolerance: float, max_products: int, seed: int
    ) -> None:
        self._multiply = multiply
        self._n = n
        self._magnitude = magnitude
        self._tolerance = tolerance
        self._left = max_products
        self._generator = np.random.default_rng(seed)

    def top(self, k: int) -> Pairs:
        """The k largest; k < n / 2.

        One start vector sees one copy of a repeated eigenvalue, in exact arithmetic, and networks have repeated ones (a
        linear layer with C outputs and squared error has each C times). So the rest of the space is looked at again
        until nothing larger is there. A Ritz value's error is about the square of its vector's: a root is enough there.
        """
        start = self._random()
        first = self._multiply(start)
        if not first.any():  # then the operator is zero, for almost every start; ARPACK calls that an error
            return np.zeros(k), np.eye(self._n, k), True
        scale = float(np.abs(first).max())
        first = first / scale
        shift = 0.0 if self._magnitude else _SHIFT * float(np.linalg.norm(first))

        known: list[Array] = [first]  # ARPACK's first product is that of the starting vector

        def shifted(vector: Array) -> Array:
            if known:
                product = known.pop()
                if np.allclose(vector, start, rtol=1e-12, atol=0.0):
                    return product + shift * vector
            return self._multiply(vector) / scale + shift * vector

        values, vectors, converged = self._arpack(shifted, k, start, self._tolerance)
        while k > 1 and converged:
            basis, _ = np.linalg.qr(vectors)

            def rest(vector: Array, basis: Array = basis) -> Array:
                return _without(basis, shifted(_without(basis, vector)))

            worst = int(np.argmin(self._size(values)))
            bound = self._size(values)[worst] + self._tolerance * np.abs(values).max()
            start_there = _unit(_without(basis, self._random()))
            value, vector, converged = self._arpack(rest, 1, start_there, self._tolerance**0.5)
            if not converged or self._size(value)[0] <= bound:
                break
            value, vector, converged = self._arpack(rest, 1, vector[:, 0], self._tolerance)
            values[worst], vectors[:, worst] = value[0], vector[:, 0]
        return (values - shift) * scale, vectors, converged

    def _size(self, values: Array) -> Array:
        return np.abs(values) if self._magnitude else values

    def _random(self) -> Array:
        return _unit(self._generator.standard_normal(self._n))

    def _arpack(self, multiply: Product, k: int, start: Array, tolerance: float) -> Pairs:
        def counted(vector: Array) -> Array:
            self._left -= 1
            return multiply(np.ravel(vector))

        operator = LinearOperator((self._n, self._n), matvec=counted, dtype=np.float64)
        # With few products to spend, all go into one Krylov space: its best answer, without a restart.
        once = self._left <= max(2 * k + 1, _BASIS)
        basis = min(self._n, max(2 * k + 1, min(_BASIS, self._left)))
        options: dict[str, Any] = {"k": k, "which": "LM" if self._magnitude else "LA", "v0": start, "ncv": basis}
        if "rng" in inspect.signature(eigsh).parameters:  # scipy 1.17: what a restart draws from
            options["rng"] = self._generator
        if once:
            values, vectors = eigsh(operator, tol=_WHATEVER, maxiter=1, **options)
            return values, vectors, False  # the residuals will tell
        try:
            values, vectors = eigsh(operator, tol=tolerance, maxiter=max(1, self._left // (basis - k)), **options)
        except ArpackNoConvergence:
            values, vectors = eigsh(operator, tol=_WHATEVER, maxiter=1, **options)  # what one Krylov space says
            return values, vectors, False
        return values, vectors, True


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit


def _without(basis: Array, vector: Array) -> Array:
    rest: Array = vector - basis @ (basis.T @ vector)
    return rest
