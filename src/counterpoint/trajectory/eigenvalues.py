"""The largest eigenvalues of the Hessian of a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from counterpoint.trajectory.evaluation import Evaluation
from counterpoint.trajectory.hessian import Hessian
from counterpoint.trajectory.lanczos import Lanczos
from counterpoint.trajectory.parameters import Parameters
from counterpoint.trajectory.plan import planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from counterpoint.parameters import Given
    from counterpoint.trajectory.plan import Loss

    Array = NDArray[np.float64]
    Product = Callable[[Array], Array]

Which = Literal["largest", "magnitude"]

# Below it the whole matrix takes no more products than ARPACK's first basis of 20 vectors.
_DENSE = 20
# Bounds the relative error of an eigenvalue: 1e-8 is asked for in double precision; products in single precision are
# good to 1e-6, and a sharpness is read to two digits.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
_LOW = 1e-2


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenvalues of a Hessian.

    Attributes:
        values: [k], fp64, descending.
        residuals: [k], the norm of ``H v - value v`` for the unit vector v that was found: an eigenvalue is that near.
        converged: Whether all met the tolerance.
        gradient_evaluations: What it cost, in forward and backward passes over all rows.
    """

    values: Array
    residuals: Array
    converged: bool
    gradient_evaluations: int


def top_eigenvalues(
    loss: Loss,
    params: Given,
    k: int = 1,
    *,
    which: Which = "largest",
    tolerance: float | None = None,
    max_products: int = 1000,
    seed: int = 0,
) -> Eigenvalues:
    r"""The k largest eigenvalues of the Hessian of a loss: the sharpness, by Lanczos iterations.

    The matrix is only multiplied by vectors (`Pearlmutter 1994 <https://doi.org/10.1162/neco.1994.6.1.147>`_):
    :math:`H v = \nabla \langle \nabla L, v \rangle`, in the parameters' precision; Lanczos (ARPACK's, through
    :func:`scipy.sparse.linalg.eigsh`) computes in double precision. With few parameters the whole matrix is formed.
    Nothing is left behind: gradients, buffers, modes and random numbers are as before. FanOut layers hand features on
    meanwhile. A piecewise linear loss has eigenvalues 0. CUDA is supported by construction; no GPU has verified it.

    Cost in gradient evaluations (a forward and a backward pass over all rows): 2 a product and 1 for the graph, or 3 a
    product where a :class:`Probe` computes graphs anew. A product for each Lanczos vector, often 20 to 200 for k = 1,
    and k for the residuals; for k > 1 some 20 to 100 more, by which repeated eigenvalues are found as often as they
    occur. Memory: some 20 (2k + 1, if that is more) vectors of the parameters' size in double
    precision on the host.

    Args:
        loss: A closure that returns the loss, a scalar; a :class:`Probe`; or the loss itself with its graph, which is
            kept.
        params: A module, parameters, param groups, or one parameter: those that require gradients. H is the block of
            these alone.
        k: How many, at most the number of parameters.
        which: The algebraically ``"largest"``, or those largest in ``"magnitude"``; both descend algebraically.
        tolerance: Accuracy at which Lanczos stops, relative to the eigenvalue or, where that is larger, to the typical
            size of H (an eigenvalue far smaller than others below zero has fewer digits); by default 1e-9 for fp64
            parameters, 1e-3 for fp32, 1e-2 below.
        max_products: About so many products at most. What was not found by then is estimated from one more Krylov
            space, ``converged`` is false, and the residuals tell how good the values are.
        seed: Of the starting vector.

    Raises:
        ValueError: for a k, tolerance or parameters that make no sense; a loss that is not a finite scalar, does not
            depend on the parameters, cannot be differentiated twice, or changes parameters.
        TypeError: if the loss is no closure or returns no tensor.

    Example:
        >>> import torch
        >>> from counterpoint import top_eigenvalues
        >>> w = torch.nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))
        >>> f = lambda w: (w[0] * w[1] - 1).square() + w[0].exp()
        >>> exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(f, w.detach()))
        >>> bool(abs(top_eigenvalues(lambda: f(w), w).values[0] - exact[-1]) < 1e-12)
        True
    """
    parameters = Parameters(params)
    n = parameters.size
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}, expected 1 to {n}, the number of parameters")
    if which not in {"largest", "magnitude"}:
        raise ValueError(f"which is {which!r}, expected 'largest' or 'magnitude'")
    if tolerance is None:
        tolerance = max(_TOLERANCE.get(tensor.dtype, _LOW) for tensor in parameters.tensors)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}, expected a number between 0 and 1")
    if max_products < 1:
        raise ValueError(f"max_products is {max_products}, expected at least 1")
    with Evaluation(parameters, 2) as evaluation:
        hessian = Hessian(planned(loss, evaluation), evaluation)

        def multiply(vector: Array) -> Array:
            result = parameters.join(hessian.product(parameters.split(np.ravel(vector))))
            if not np.isfinite(result).all():
                raise ValueError("a second derivative of the loss is NaN or infinite, expected a finite Hessian")
            return result

        if n <= max(_DENSE, 2 * k + 1):
            values, residuals = _all(multiply, n, k, which)
            converged = True
        else:
            lanczos = Lanczos(
                multiply,
                n,
                magnitude=which == "magnitude",
                tolerance=tolerance,
                max_products=max_products - k,
                seed=seed,
            )
            values, residuals, converged = _refined(multiply, *lanczos.top(k))
            converged = converged or bool((residuals <= tolerance * np.abs(values)).all())
        return Eigenvalues(values, residuals, converged, hessian.gradient_evaluations)


def _all(multiply: Product, n: int, k: int, which: Which) -> tuple[Array, Array]:
    matrix = np.stack([multiply(unit) for unit in np.eye(n)], axis=1)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    order = np.argsort(-values if which == "largest" else -np.abs(values), kind="stable")[:k]
    order = order[np.argsort(-values[order], kind="stable")]
    values, vectors = values[order], vectors[:, order]
    return values, np.linalg.norm(matrix @ vectors - vectors * values, axis=0)


def _refined(multiply: Product, values: Array, vectors: Array, converged: bool) -> tuple[Array, Array, bool]:
    """Rayleigh quotients, descending, with residuals."""
    residuals = np.empty_like(values)
    for index, vector in enumerate(vectors.T):
        image = multiply(vector)
        values[index] = vector @ image
        residuals[index] = np.linalg.norm(image - values[index] * vector)
    order = np.argsort(-values, kind="stable")
    return values[order], residuals[order], converged
