"""Inner products of task gradients are those of the gradients themselves."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from counterpoint.trajectory import gradient_coherence
from counterpoint.trajectory.task_gradients import task_gradients


@pytest.fixture(name="network")
def network_fixture():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        x, y = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
        yield encoder, x, y


def losses_of(encoder, x, y, tasks="abc", parts=((0, 4), (4, 8), (8, 12))):
    power = {"a": 2, "b": 4, "c": 6}
    return [{task: (encoder(x[i:j]) - y[i:j]).pow(power[task]).mean() for task in tasks} for i, j in parts]


def flat(loss, tensors):
    parts = torch.autograd.grad(loss, list(tensors), retain_graph=True)
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("memory", [2**30, 200, 1])
def test_they_are_those_of_explicit_gradients_whatever_fits_into_memory(network, memory):
    encoder = network[0]
    losses = losses_of(*network)
    found = task_gradients(losses, encoder, memory=memory)
    each = {task: torch.stack([flat(part[task], encoder.parameters()) for part in losses]) for task in "abc"}
    means = torch.stack([each[task].mean(0) for task in "abc"])
    np.testing.assert_allclose(found.gram, (means @ means.T).numpy(), rtol=1e-12)
    for task in "abc":
        np.testing.assert_allclose(found.minibatches[task], (each[task] @ each[task].T).numpy(), rtol=1e-12)
        assert found.norm(task) == pytest.approx(each[task].mean(0).norm().item())
    assert all(p.grad is None for p in encoder.parameters())
    sum(losses[0].values()).backward()  # the graphs are there still


def test_coherence_is_that_of_gradient_coherence(network):
    encoder, x, y = network
    found = task_gradients(losses_of(*network), encoder)
    for task in "abc":
        ours, theirs = (
            found.coherence(task),
            gradient_coherence([part[task] for part in losses_of(encoder, x, y)], encoder),
        )
        for name in ("ratio", "cosine", "norm", "minibatches", "gradient_evaluations"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9)


def test_a_task_is_measured_on_the_minibatches_that_have_it(network):
    encoder = network[0]
    losses = losses_of(*network)
    del losses[0]["b"], losses[0]["c"], losses[2]["c"]
    found = task_gradients(losses, encoder)
    assert {task: len(products) for task, products in found.minibatches.items()} == {"a": 3, "b": 2, "c": 1}
    b = torch.stack([flat(part["b"], encoder.parameters()) for part in losses[1:]]).mean(0)
    a = torch.stack([flat(part["a"], encoder.parameters()) for part in losses]).mean(0)
    assert found.gram[0, 1] == pytest.approx((a @ b).item())
    assert found.coherence("c").ratio == pytest.approx(1.0)
    assert math.isnan(found.coherence("c").cosine)  # no pair


def test_a_gradient_of_zero_has_no_direction():
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    found = task_gradients([{"a": w[0] * 3}, {"a": w[0] * 0.0}, {"a": w[1] * 4}], w).coherence("a")
    expected = gradient_coherence([w[0] * 3, w[0] * 0.0, w[1] * 4], w)
    assert (found.ratio, found.cosine) == (pytest.approx(expected.ratio), pytest.approx(expected.cosine))
    nothing = task_gradients([{"a": w.sum() * 0.0}] * 2, w).coherence("a")
    assert math.isnan(nothing.ratio)
    assert math.isnan(nothing.cosine)


def test_parameters_that_one_task_does_not_reach_count_as_zero():
    w = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    for memory in (2**30, 1):
        found = task_gradients([{"a": w[0].sum(), "b": w[1].sum() + w[0].sum()}], w, memory=memory)
        assert found.gram.tolist() == [[2.0, 2.0], [2.0, 5.0]]


def test_autocast_does_not_round_them(network):
    encoder = network[0].float()
    x, y = (each.float() for each in network[1:])
    expected = task_gradients(losses_of(encoder, x, y), encoder)
    losses = losses_of(encoder, x, y)
    with torch.autocast("cpu", torch.bfloat16):
        found = task_gradients(losses, encoder)
    np.testing.assert_array_equal(found.gram, expected.gram)
    np.testing.assert_array_equal(found.minibatches["a"], expected.minibatches["a"])


def test_low_precision_is_summed_in_single():
    w = nn.Parameter(torch.ones(4000, dtype=torch.bfloat16))
    assert task_gradients([{"a": w.sum()}], w).gram.tolist() == [[4000.0]]


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (lambda _: [], "no minibatch has a loss, expected"),
        (lambda _: [{}, {}], "no minibatch has a loss, expected"),
        (lambda w: [{"a": w.sum(), "b": w.detach().sum()}], "the loss of task 'b' does not depend on any of the param"),
        (lambda w: [{"a": w.sum(), "b": (w - 1).sqrt().sum()}], "the gradient of task 'b' is NaN or infinite"),
    ],
)
@pytest.mark.parametrize("memory", [2**30, 1])
def test_what_has_no_gradient_is_named(losses, message, memory):
    w = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match=message):
        task_gradients(losses(w), w, memory=memory)
