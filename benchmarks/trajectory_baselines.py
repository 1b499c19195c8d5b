"""What one writes down without a library, to compare with; and the values that all should find."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.func import functional_call, grad, jvp, vmap

from trajectory_case import Case, labels, log_likelihood
from trajectory_timing import Found

if TYPE_CHECKING:
    from torch import Tensor

DRAWS, FISHER_DRAWS = 16, 8
TOLERANCE = 1e-3  # of eigenvalues; what top_eigenvalues takes by itself in single precision


def eigsh_of_autograd(case: Case) -> Found:
    """Lanczos on the gradient's graph, which is kept."""
    parameters = case.shared
    sizes = [parameter.numel() for parameter in parameters]
    gradients = torch.autograd.grad(case.loss(), parameters, create_graph=True)
    products = 0

    def multiply(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        flat = torch.from_numpy(np.ravel(vector)).to(parameters[0].dtype)
        split = [part.view_as(parameter) for part, parameter in zip(flat.split(sizes), parameters, strict=True)]
        found = torch.autograd.grad(gradients, parameters, split, retain_graph=True)
        return np.concatenate([part.double().reshape(-1).numpy() for part in found])

    operator = LinearOperator((sum(sizes),) * 2, matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(sum(sizes))
    values = eigsh(operator, k=1, which="LA", v0=start, tol=TOLERANCE, return_eigenvectors=False)
    return Found(float(values[0]), None, 1 + 2 * products)


def trace_by_jvp(case: Case) -> Found:
    """Forward over reverse: no graph of the gradient, but the loss anew for every draw."""
    parameters = {name: p.detach() for name, p in case.network.named_parameters() if p.requires_grad}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return case.task.loss(functional_call(case.network, values, (case.x,)), case.y)

    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(DRAWS):
        v = {
            name: torch.randint(0, 2, p.shape, generator=generator).to(p.dtype).mul_(2).sub_(1)
            for name, p in parameters.items()
        }
        _, product = jvp(grad(loss), (parameters,), (v,))
        found.append(sum(float((v[name] * product[name]).sum()) for name in v))
    return Found(float(np.mean(found)), float(np.std(found, ddof=1)) / math.sqrt(DRAWS))


def loop_over_rows(case: Case) -> Found:
    """The empirical Fisher's trace, exactly: a backward pass a row."""
    logs = log_likelihood(case, case.network(case.x), case.y)
    return Found(sum(_square(case, one) for one in logs) / len(logs))


def per_row_gradients(case: Case) -> Found:
    """The same by torch.func."""
    parameters = {name: p.detach() for name, p in case.network.named_parameters() if p.requires_grad}

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return log_likelihood(case, functional_call(case.network, values, (x[None],)), y[None])[0]

    rows = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, case.x, case.y)
    return Found(sum(float(part.square().sum()) for part in rows.values()) / len(case.x))


def drawn_in_a_loop(case: Case) -> Found:
    """The model's Fisher's trace: labels are drawn, a backward pass a row and draw."""
    generator, outputs, sums = torch.Generator().manual_seed(0), case.network(case.x), []
    with torch.no_grad():
        every = torch.stack([log_likelihood(case, outputs, label) for label in labels(case)], dim=1).exp()
    for _ in range(FISHER_DRAWS):
        drawn = torch.multinomial(every, 1, generator=generator)[:, 0]
        logs = log_likelihood(case, outputs, drawn)
        sums.append(sum(_square(case, one) for one in logs) / len(logs))
    return Found(float(np.mean(sums)), float(np.std(sums, ddof=1)) / math.sqrt(FISHER_DRAWS))


def _square(case: Case, one: Tensor) -> float:
    parts = torch.autograd.grad(one, case.shared, retain_graph=True)
    return sum(float(part.double().square().sum()) for part in parts)


def exact_fisher(case: Case) -> float:
    """Every row and every label, weighted by its probability, in double precision."""
    case = case.double()
    outputs, total = case.network(case.x), 0.0
    for label in labels(case):
        logs = log_likelihood(case, outputs, label)
        total += sum(float(one.detach().exp()) * _square(case, one) for one in logs)
    return total / len(case.x)


def exact_hessian(case: Case) -> np.ndarray:
    """[P, P], entry by entry, of a small network."""
    gradients = torch.autograd.grad(case.loss(), case.shared, create_graph=True)
    rows = [
        torch.cat([part.reshape(-1) for part in torch.autograd.grad(entry, case.shared, retain_graph=True)])
        for entry in torch.cat([part.reshape(-1) for part in gradients])
    ]
    return torch.stack(rows).numpy()
