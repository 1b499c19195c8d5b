"""TorchJD as an oracle: the same quantities from another library."""

import pytest
import torch
from torch import nn
from torchjd.aggregation import IMTLGWeighting, MGDAWeighting, PCGradWeighting
from torchjd.autojac import jac

from counterpoint import MGDA, FanOut, min_norm_point


@pytest.fixture
def parts():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).double()
    heads = nn.ModuleList(nn.Linear(16, 4) for _ in range(5)).double()
    return encoder, heads, torch.randn(32, 8, dtype=torch.float64)


def losses_of(heads, features):
    return [(k + 1) * (head(features) - k).square().mean() for k, head in enumerate(heads)]


def test_gram_matrix_equals_that_of_torchjds_jacobian(parts):
    encoder, heads, x = parts
    features = encoder(x)
    (jacobian,) = jac(losses_of(heads, features), features, retain_graph=True)
    rows = jacobian.flatten(1)
    fan = FanOut(MGDA(), [str(k) for k in range(5)])
    z = fan(encoder(x))
    sum((k + 1) * (head(z[str(k)]) - k).square().mean() for k, head in enumerate(heads)).backward()
    torch.testing.assert_close(fan.last.gram, rows @ rows.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weighting", [IMTLGWeighting(), PCGradWeighting(), MGDAWeighting()])
def test_a_weighting_of_torchjd_is_accepted_as_it_is(parts, weighting):
    encoder, heads, x = parts
    features = encoder(x)
    (jacobian,) = jac(losses_of(heads, features), features, retain_graph=True)
    rows = jacobian.flatten(1)
    torch.manual_seed(1)  # PCGrad draws an order of the tasks
    features.backward((weighting(rows @ rows.T) @ rows).reshape(features.shape))
    expected = [p.grad.clone() for p in encoder.parameters()]
    encoder.zero_grad()
    fan = FanOut(weighting, [str(k) for k in range(5)])
    z = fan(encoder(x))
    torch.manual_seed(1)
    sum((k + 1) * (head(z[str(k)]) - k).square().mean() for k, head in enumerate(heads)).backward()
    for parameter, gradient in zip(encoder.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_papers_frank_wolfe_is_torchjds(parts):
    encoder, heads, x = parts
    (jacobian,) = jac(losses_of(heads, features := encoder(x)), features)
    gram = jacobian.flatten(1) @ jacobian.flatten(1).T
    ours = MGDA(solver="frank-wolfe", max_iterations=3)(gram)
    torch.testing.assert_close(ours, MGDAWeighting(epsilon=1e-12, max_iters=3)(gram))


def test_ours_is_never_above_torchjds_solution():
    for seed in range(10):
        vectors = torch.randn(40, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        gram = vectors @ vectors.T
        theirs = MGDAWeighting(max_iters=1000)(gram)
        assert min_norm_point(gram).norm_squared <= float(theirs @ gram @ theirs)
