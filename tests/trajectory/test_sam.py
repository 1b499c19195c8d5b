"""The rise of a loss within a radius."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from counterpoint import Probe, gradient_coherence, sam_sharpness


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=5), st.floats(0.001, 1.0), st.floats(0.1, 10.0))
def test_on_a_quadratic(point, rho, factor):
    """g = A w; the rise is rho |g| + rho^2 / 2 * g'A g / |g|^2."""
    n = len(point)
    matrix = torch.diag(torch.arange(1.0, n + 1).double()) * factor
    w = nn.Parameter(torch.tensor(point, dtype=torch.float64))
    g = matrix @ w.detach()
    if float(g.norm()) < 1e-3:
        return
    exact = rho * float(g.norm()) + rho**2 / 2 * float(g @ matrix @ g / (g @ g))
    assert sam_sharpness(lambda: 0.5 * w @ matrix @ w, w, rho) == pytest.approx(exact, rel=1e-9)


def test_zero_where_the_gradient_is():
    w = nn.Parameter(torch.zeros(3))
    assert sam_sharpness(lambda: -w.square().sum(), w) == 0.0


def test_gradients_near_the_smallest_number():
    w = nn.Parameter(torch.zeros(3))
    assert sam_sharpness(lambda: 1e-41 * w.sum(), w) == pytest.approx(0.05 * 3**0.5 * 1e-41, rel=1e-2)
    assert gradient_coherence([lambda: 1e-41 * w.sum()] * 2, w).cosine == pytest.approx(1.0, rel=1e-2)


def test_of_a_network_in_some_parameters_by_hand_and_in_chunks(network):
    module, x, y = network
    module.eval()
    first = module[0]
    found = sam_sharpness(lambda: cross_entropy(module(x), y), first, 0.1)
    probe = Probe(lambda x, y: cross_entropy(module(x), y), x, y, rows=2)
    assert sam_sharpness(probe, first, 0.1) == pytest.approx(found, rel=1e-10)
    before = cross_entropy(module(x), y)
    gradients = torch.autograd.grad(before, list(first.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    with torch.no_grad():
        for parameter, g in zip(first.parameters(), gradients, strict=True):
            parameter.add_(0.1 * g / norm)
        after = cross_entropy(module(x), y)
    assert found == pytest.approx(float((after - before).detach()), rel=1e-9)


def test_costs_a_gradient_and_a_forward_pass():
    w, modes = nn.Parameter(torch.ones(3)), []
    sam_sharpness(lambda: (modes.append(torch.is_grad_enabled()), w.square().sum())[1], w)
    assert modes == [True, False]
