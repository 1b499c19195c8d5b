"""Other libraries that measure what `counterpoint.trajectory` does, side by side with it.

The libraries are no dependencies: each is taken where it is installed. Differences that matter when reading times:

- PyHessian keeps the gradient's graph, as ours does; its eigenvalue is by power iteration, which finds the largest in
  magnitude and stops when two values in turn agree to 1e-3. Its trace stops when the mean of its draws hardly moves;
  here it takes them all.
- hessian-eigenthings computes the graph anew for every product: 3 gradients a product instead of 2. Its Lanczos takes
  as many steps as it is told; here the products that ours took. Its empirical Fisher has products alone, of which its
  own trace estimator makes a trace.
- NNGeometry has no products with Hessians. Its Fisher traces are exact in rows and, without a Monte Carlo, in labels;
  they know the layers they know, here Linear and Conv2d.
"""

from __future__ import annotations

import importlib
import math
import warnings
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trajectory_baselines import (
    DRAWS,
    FISHER_DRAWS,
    TOLERANCE,
    drawn_in_a_loop,
    eigsh_of_autograd,
    exact_fisher,
    exact_hessian,
    loop_over_rows,
    per_row_gradients,
    trace_by_jvp,
)
from trajectory_case import log_likelihood
from trajectory_measures import eigenvalue, fisher, trace
from trajectory_timing import REFERENCE, Found, probed, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from trajectory_case import Case

    Who = Callable[[], Found]

OURS = "counterpoint"
# Name on the package index, name to import.
PEERS = {"PyHessian": "pyhessian", "hessian-eigenthings": "hessian_eigenthings", "nngeometry": "nngeometry"}


def installed() -> dict[str, str]:
    """Version of each peer, or why there is none."""
    found = {}
    for name, module in PEERS.items():
        try:
            importlib.import_module(module)
            found[name] = version(name)
        except (ImportError, PackageNotFoundError) as error:
            missing = isinstance(error, (PackageNotFoundError, ModuleNotFoundError))
            found[name] = "not installed" if missing else f"does not import: {error}"
    return found


def pyhessian(case: Case) -> Any:
    from pyhessian import hessian  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*create_graph=True.*")
        return hessian(case.network, case.task.loss, data=(case.x, case.y), cuda=False)


def pyhessian_eigenvalue(case: Case) -> Found:
    torch.manual_seed(0)
    values, _ = pyhessian(case).eigenvalues(maxIter=1000, tol=TOLERANCE)
    case.network.zero_grad()
    return Found(values[0])


def pyhessian_trace(case: Case) -> Found:
    torch.manual_seed(0)
    draws = pyhessian(case).trace(maxIter=DRAWS, tol=-math.inf)
    case.network.zero_grad()
    return Found(float(np.mean(draws)), float(np.std(draws, ddof=1)) / math.sqrt(len(draws)), 1 + 2 * len(draws))


def eigenthings(case: Case) -> Any:
    from hessian_eigenthings import HessianOperator, supervised_loss  # noqa: PLC0415

    return HessianOperator(case.network, [(case.x, case.y)], supervised_loss(case.task.loss))


def eigenthings_eigenvalue(case: Case, products: int) -> Found:
    from hessian_eigenthings import lanczos  # noqa: PLC0415

    found = lanczos(eigenthings(case), k=1, max_iter=products, tol=TOLERANCE, which="LA", reorthogonalize=True, seed=0)
    notes = {"residual": float(found.residuals[0]), "converged": bool(found.converged[0])}
    return Found(float(found.eigenvalues[0]), None, 3 * found.iterations, notes)


def eigenthings_trace(case: Case) -> Found:
    from hessian_eigenthings import hutchinson  # noqa: PLC0415

    found = hutchinson(eigenthings(case), num_samples=DRAWS, seed=0)
    return Found(found.estimate, found.stderr, 3 * DRAWS)


def eigenthings_empirical(case: Case) -> Found:
    from hessian_eigenthings import EmpiricalFisherOperator, hutchinson  # noqa: PLC0415

    def loss(network: Any, row: Any) -> Tensor:
        x, y = row
        return -log_likelihood(case, network(x[None]), y[None])[0]

    operator = EmpiricalFisherOperator(case.network, [(case.x, case.y)], loss)
    found = hutchinson(operator, num_samples=FISHER_DRAWS, seed=0)
    return Found(found.estimate, found.stderr)


def nngeometry_fisher(case: Case, *, drawn: bool = False) -> Found:
    from nngeometry.metrics import FIM, FIM_MonteCarlo  # noqa: PLC0415
    from nngeometry.object import PMatImplicit  # noqa: PLC0415

    network = case.network
    options = {"function": lambda *d: network(d[0]), "layer_collection": _layers(network, case)}
    if drawn:
        torch.manual_seed(0)
        fim = FIM_MonteCarlo(network, (case.x, case.y), PMatImplicit, trials=FISHER_DRAWS, **options)
    else:
        variant = "classif_logits" if case.likelihood == "categorical" else "classif_binary_logits"
        fim = FIM(network, (case.x, case.y), PMatImplicit, variant=variant, **options)
    return Found(float(fim.trace()))


def nngeometry_empirical(case: Case) -> Found:
    from nngeometry.backend import TorchHooksJacobianBackend  # noqa: PLC0415
    from nngeometry.object import PMatImplicit  # noqa: PLC0415

    network = case.network

    def of_rows(x: Tensor, y: Tensor) -> Tensor:
        return log_likelihood(case, network(x), y)[:, None]

    backend = TorchHooksJacobianBackend(network, of_rows, layer_collection=_layers(network, case))
    return Found(float(PMatImplicit(backend, examples=(case.x, case.y)).trace()))


def _layers(network: torch.nn.Module, case: Case) -> Any:
    from nngeometry.layercollection import LayerCollection  # noqa: PLC0415

    layers = LayerCollection()
    for module in case.encoder.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            layers.add_layer_from_model(network, module)
    return layers


def contenders(case: Case) -> dict[str, dict[str, Who]]:
    """{quantity: {who: how}}; ours comes first."""
    products = int((eigenvalue(case, tolerance=TOLERANCE).evaluations or 0) // 2)
    quantities: dict[str, dict[str, Who]] = {
        "largest eigenvalue": {
            OURS: partial(eigenvalue, case, tolerance=TOLERANCE),
            f"{OURS}, max_products=10": partial(eigenvalue, case, max_products=10),
            "PyHessian": partial(pyhessian_eigenvalue, case),
            "hessian-eigenthings, as many products": partial(eigenthings_eigenvalue, case, products),
            "eigsh of autograd's products": partial(eigsh_of_autograd, case),
        },
        f"trace, {DRAWS} draws": {
            OURS: partial(trace, case, draws=DRAWS),
            "PyHessian": partial(pyhessian_trace, case),
            "hessian-eigenthings": partial(eigenthings_trace, case),
            "torch.func, jvp of grad": partial(trace_by_jvp, case),
        },
        "Fisher trace": {
            f"{OURS}, {FISHER_DRAWS} draws": partial(fisher, case, empirical=False),
            "nngeometry, exact": partial(nngeometry_fisher, case),
            f"nngeometry, {FISHER_DRAWS} draws": partial(nngeometry_fisher, case, drawn=True),
            f"a loop over rows, {FISHER_DRAWS} draws": partial(drawn_in_a_loop, case),
        },
        "empirical Fisher trace": {
            f"{OURS}, {FISHER_DRAWS} draws": partial(fisher, case, empirical=True),
            f"{OURS}, group=1, exact": partial(fisher, case, empirical=True, group=1),
            "nngeometry, exact": partial(nngeometry_empirical, case),
            f"hessian-eigenthings, {FISHER_DRAWS} draws": partial(eigenthings_empirical, case),
            "a loop over rows, exact": partial(loop_over_rows, case),
            "torch.func, vmap of grad, exact": partial(per_row_gradients, case),
        },
    }
    if case.likelihood != "categorical":  # its Monte Carlo draws classes alone
        del quantities["Fisher trace"][f"nngeometry, {FISHER_DRAWS} draws"]
    return quantities


def references(case: Case, *, dense: bool) -> dict[str, float | None]:
    """What the quantities really are; the trace of a large Hessian is unknown."""
    known: dict[str, float | None] = {
        "Fisher trace": exact_fisher(case),
        "empirical Fisher trace": loop_over_rows(case.double()).value,
    }
    if dense:
        hessian = exact_hessian(case)
        own = {"largest eigenvalue": float(np.linalg.eigvalsh(hessian)[-1])}
        return known | own | {f"trace, {DRAWS} draws": float(hessian.trace())}
    return known | {"largest eigenvalue": eigenvalue(case.double()).value}


def against_peers(case: Case, rounds: int, *, dense: bool) -> list[dict[str, Any]]:
    """A row for each quantity and who measures it."""
    there, known, rows = installed(), references(case, dense=dense), []
    for quantity, everyone in contenders(case).items():
        works: dict[str, Who] = {}
        for who, how in everyone.items():
            state = there.get(who.split(",")[0], "")
            if state == "not installed" or state.startswith("does not"):
                rows.append({"case": case.name, "quantity": quantity, "what": who, "status": state})
                continue
            try:
                how()
            except Exception as error:  # a peer may fail on a network in any way; that is a result
                if who.startswith(OURS):
                    raise
                line = f"fails: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
                rows.append({"case": case.name, "quantity": quantity, "what": who, "status": line})
            else:
                works[who] = how
        measured = probed(case, works, rounds)
        ours = measured[next(iter(works))]
        exact = known.get(quantity)
        for who, row in measured.items():
            if who == REFERENCE:
                continue
            row |= {"quantity": quantity, "status": "measured", "version": there.get(who.split(",")[0])}
            row |= {"ours over it": ratio(ours, row), "exact": exact}
            row["off"] = None if exact is None else (row["value"] - exact) / abs(exact)
            rows.append(row)
    return rows
