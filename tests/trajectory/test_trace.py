"""Hutchinson's estimate, and the error that it reports."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from counterpoint import Probe, hessian_trace


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_within_the_reported_error_of_the_dense_hessian(network, hessian_of, distribution):
    module, x, y = network
    found = hessian_trace(lambda: cross_entropy(module(x), y), module, 200, distribution=distribution)
    exact = float(hessian_of(cross_entropy(module(x), y), module.parameters()).trace())
    assert abs(found.value - exact) < 4 * found.standard_error
    assert found.standard_error < abs(exact)
    assert found.gradient_evaluations == 401


def quadratic(n, seed):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(n, n, dtype=torch.float64, generator=generator)
    matrix = root + root.T
    w = nn.Parameter(torch.zeros(n, dtype=torch.float64))
    return w, matrix, lambda: 0.5 * w @ matrix @ w


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_the_standard_error_is_honest(distribution):
    """Within two standard errors in about 95 % of seeds; their size is the theoretical one."""
    w, matrix, loss = quadratic(6, 0)
    found = [hessian_trace(loss(), w, 40, distribution=distribution, seed=seed) for seed in range(200)]
    errors = np.array([one.value - float(matrix.trace()) for one in found])
    reported = np.array([one.standard_error for one in found])
    covered = (np.abs(errors) < 2 * reported).mean()
    assert 0.9 < covered < 0.99
    off = matrix - matrix.diag().diag() if distribution == "rademacher" else matrix
    theory = float((2 * off.square().sum() / 40).sqrt())
    assert np.sqrt((reported**2).mean()) == pytest.approx(theory, rel=0.05)
    assert errors.std() == pytest.approx(theory, rel=0.15)
    assert abs(errors.mean()) < 4 * theory / 200**0.5


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.integers(0, 9))
def test_random_signs_are_exact_where_the_hessian_is_diagonal(diagonal, seed):
    scale = torch.tensor(diagonal, dtype=torch.float64)
    w = nn.Parameter(torch.ones(len(diagonal), dtype=torch.float64))
    found = hessian_trace(lambda: scale @ w.square(), w, 2, seed=seed)
    assert found.value == pytest.approx(2 * float(scale.sum()), abs=1e-12)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)


@given(st.floats(-10, 10), st.integers(0, 9))
def test_linear_in_the_loss(factor, seed):
    w, _, loss = quadratic(4, seed)
    one, scaled = hessian_trace(loss, w, 3), hessian_trace(lambda: factor * loss() + w.sum(), w, 3)
    assert scaled.value == pytest.approx(factor * one.value, abs=1e-9)
    assert scaled.standard_error == pytest.approx(abs(factor) * one.standard_error, abs=1e-9)


def test_a_block_and_unused_parameters():
    w, _, loss = quadratic(4, 1)
    other = nn.Parameter(torch.ones(3, dtype=torch.float64))
    both = lambda: loss() + 5 * other.square().sum()  # noqa: E731
    assert hessian_trace(both, other, 2).value == pytest.approx(30.0)
    assert hessian_trace(loss, [w, other], 2, seed=4).standard_error > 0
    assert hessian_trace(lambda: 5 * other.square().sum(), [w, other], 2).value == pytest.approx(30.0)


def test_zero_where_the_loss_is_piecewise_linear():
    w = nn.Parameter(torch.randn(5))
    found = hessian_trace(lambda: w.relu().sum() + w.sum(), w, 3)
    assert (found.value, found.standard_error) == (0.0, 0.0)


def test_draws_in_chunks_are_the_same_draws(network):
    module, x, y = network
    module.eval()
    whole = hessian_trace(lambda: cross_entropy(module(x), y), module, 5, seed=3)
    probe = Probe(lambda x, y: cross_entropy(module(x), y), x, y, rows=3)
    recomputed = Probe(lambda x, y: cross_entropy(module(x), y), x, y, rows=3, memory=1)
    assert hessian_trace(probe, module, 5, seed=3).value == pytest.approx(whole.value, rel=1e-12)
    chunked = hessian_trace(recomputed, module, 5, seed=3)
    assert chunked.value == pytest.approx(whole.value, rel=1e-12)
    assert (whole.gradient_evaluations, chunked.gradient_evaluations) == (11, 15)


def test_half_precision_sums_in_single():
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(3000).to(torch.bfloat16))
    found = hessian_trace(lambda: 0.5 * w.square().sum(), w, 2)
    assert found.value == pytest.approx(3000.0)  # bf16 itself counts to 256


def test_chunks_in_half_precision_are_added_in_single():
    w = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    probe = Probe(lambda x: 0.5 * x.mean() * w.square().sum(), torch.ones(600, dtype=torch.bfloat16), rows=1, memory=1)
    assert hessian_trace(probe, w, 2).value == pytest.approx(4.0, rel=1e-3)
