"""Coherence of gradients that are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from counterpoint import MGDA, FanOut, MultiTaskModel, Probe, gradient_coherence


def linear(gradients):
    """Losses with these gradients."""
    w = nn.Parameter(torch.zeros(len(gradients[0]), dtype=torch.float64))
    rows = torch.tensor(np.array(gradients), dtype=torch.float64)
    return [lambda g=g: w @ g for g in rows], w


def test_identical_orthogonal_opposite():
    same = gradient_coherence(*linear([[1.0, 2.0]] * 3))
    assert (same.ratio, same.cosine, same.norm) == pytest.approx((1.0, 1.0, 5**0.5))
    assert (same.minibatches, same.gradient_evaluations) == (3, 3)
    orthogonal = gradient_coherence(*linear(np.eye(4)))
    assert (orthogonal.ratio, orthogonal.cosine, orthogonal.norm) == pytest.approx((1 / 4, 0.0, 1 / 2))
    opposite = gradient_coherence(*linear([[1.0, 2.0], [-1.0, -2.0]]))
    assert (opposite.ratio, opposite.cosine, opposite.norm) == pytest.approx((0.0, -1.0, 0.0))


vectors = st.integers(2, 6).flatmap(
    lambda m: st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=m, max_size=m)
)


@given(vectors, st.floats(0.01, 100.0), st.randoms())
def test_as_defined_and_invariant_to_scale_and_order(gradients, factor, random):
    losses, w = linear(gradients)
    found = gradient_coherence(losses, w)
    g = np.array(gradients, dtype=float)
    norms = np.linalg.norm(g, axis=1)
    if norms.any():
        assert found.ratio == pytest.approx((g.mean(0) ** 2).sum() / (g**2).sum(1).mean())
    else:
        assert math.isnan(found.ratio)
    unit = g[norms > 0] / norms[norms > 0, None]
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    if len(cosines):
        assert found.cosine == pytest.approx(cosines.mean(), abs=1e-9)
    else:
        assert math.isnan(found.cosine)
    random.shuffle(losses)
    scaled = gradient_coherence([lambda loss=loss: factor * loss() for loss in losses], w)
    assert scaled.ratio == pytest.approx(found.ratio, nan_ok=True, abs=1e-12)
    assert scaled.cosine == pytest.approx(found.cosine, nan_ok=True, abs=1e-9)
    assert scaled.norm == pytest.approx(factor * found.norm, abs=1e-9)


def test_a_split_probe_is_its_minibatches_however_they_are_chunked(network, gradient_of):
    module, x, y = network
    module.eval()
    probes = [Probe(lambda x, y: cross_entropy(module(x), y), x, y, rows=rows) for rows in (None, 2)]
    closures = [
        lambda part=part: cross_entropy(module(x[part]), y[part]) for part in (slice(4), slice(4, 8), slice(8, 11))
    ]
    first = gradient_coherence(closures, module)
    for probe in probes:
        found = gradient_coherence(probe, module, minibatches=3)
        assert (found.ratio, found.cosine, found.norm) == pytest.approx((first.ratio, first.cosine, first.norm))
        assert found.gradient_evaluations == 3
    g = torch.stack([gradient_of(closure(), module.parameters()) for closure in closures])
    assert found.norm == pytest.approx(float(g.mean(0).norm()))
    given_losses = gradient_coherence([closure() for closure in closures], module)
    assert given_losses.ratio == pytest.approx(first.ratio)


def test_of_one_task_behind_a_balancing_layer():
    torch.manual_seed(0)
    heads = {task: nn.Linear(3, 1) for task in "ab"}
    model = MultiTaskModel(nn.Linear(4, 3), heads, FanOut(MGDA(), ["a", "b"])).double()
    xs = torch.randn(3, 5, 4).double()
    found = gradient_coherence([lambda x=x: model(x)["a"].square().mean() for x in xs], model.encoder)
    assert model.fan_out.last is None
    assert model.training
    plain = [lambda x=x: heads["a"](model.encoder(x)).square().mean() for x in xs]
    assert found == gradient_coherence(plain, model.encoder)


def test_unused_parameters_count_as_zero():
    losses, w = linear(np.eye(2))
    assert gradient_coherence(losses, [w, nn.Parameter(torch.ones(2))]) == gradient_coherence(losses, w)


def test_a_probe_costs_little_more_than_its_minibatches():
    rows = []
    w = nn.Parameter(torch.ones(2))
    probe = Probe(lambda x: (rows.append(len(x)), (x @ w).square().mean())[1], torch.randn(96, 2))
    gradient_coherence(probe, w, minibatches=12)
    assert rows[-12:] == [8] * 12
    assert sum(rows[:-12]) <= 12  # its memory is measured once
