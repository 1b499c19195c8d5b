"""Traces are those of Fisher matrices by enumeration of the labels."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from counterpoint import Probe, fisher_trace, gradient_coherence, sam_sharpness


def network(outputs, rows=6):
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs)).double()
    return module, torch.randn(rows, 3).double()


def squared(scalar, module):
    return sum(
        float(part.square().sum()) for part in torch.autograd.grad(scalar, module.parameters(), retain_graph=True)
    )


def categorical(module, x):
    """1/B sum_i sum_y p(y | x_i) |grad log p(y | x_i)|^2."""
    log_p = module(x).log_softmax(1)
    p = log_p.detach().exp()
    return sum(
        float(p[i, y]) * squared(log_p[i, y], module) for i in range(len(x)) for y in range(log_p.shape[1])
    ) / len(x)


def bernoulli(module, x):
    z = module(x)[:, 0]
    logs = torch.stack([(-z).sigmoid().log(), z.sigmoid().log()], 1)
    total = sum(float(logs[i, y].detach().exp()) * squared(logs[i, y], module) for i in range(len(x)) for y in (0, 1))
    return total / len(x)


def gaussian(module, x, variance):
    """The mean over y of |J' (y - mu)|^2 / variance^2 is |J|^2 / variance."""
    means = module(x)
    return sum(squared(mean, module) for mean in means.flatten()) / variance / len(x)


CASES = {
    "categorical": (3, {}, categorical),
    "bernoulli": (1, {}, bernoulli),
    "gaussian": (2, {"variance": 0.3}, lambda module, x: gaussian(module, x, 0.3)),
}


@pytest.mark.parametrize("likelihood", CASES)
@pytest.mark.parametrize("form", ["closure", "groups", "one by one", "probe"])
def test_labels_of_the_model(likelihood, form):
    outputs, options, brute_force = CASES[likelihood]
    module, x = network(outputs)
    given = Probe(module, x, rows=4) if form == "probe" else lambda: module(x)
    group = {"groups": 4, "one by one": 1}.get(form)
    exact = brute_force(module, x)
    found = [fisher_trace(given, module, likelihood, draws=150, group=group, seed=s, **options) for s in range(2)]
    for one in found:
        assert abs(one.value - exact) < 4 * one.standard_error
        assert 0 < one.standard_error < exact / 3
        assert one.gradient_evaluations == 150 * {"groups": 2, "one by one": 6}.get(form, 1)
        assert one.draws == 150
    assert len({one.value for one in found}) == 2


@pytest.mark.parametrize("group", [None, 2])
def test_the_standard_error_is_honest(group):
    module, x = network(3)
    outputs, exact = module(x).detach(), categorical(module, x)
    assert outputs.shape == (6, 3)
    found = [fisher_trace(lambda: module(x), module, draws=20, group=group, seed=seed) for seed in range(150)]
    covered = np.mean([abs(one.value - exact) < 2 * one.standard_error for one in found])
    assert 0.88 < covered < 0.995
    errors = np.array([one.value - exact for one in found])
    assert abs(errors.mean()) < 4 * errors.std() / 150**0.5


@pytest.mark.parametrize("form", ["closure", "probe"])
def test_the_empirical_fisher_one_by_one_is_exact(form):
    module, x = network(4)
    y = torch.tensor([0, 3, 1, 1, 2, 0])
    exact = sum(squared(cross_entropy(module(x[i : i + 1]), y[i : i + 1]), module) for i in range(6)) / 6
    given = Probe(module, x) if form == "probe" else lambda: module(x)
    found = fisher_trace(given, module, targets=y, group=1)
    assert found.value == pytest.approx(exact, rel=1e-10)
    assert (found.standard_error, found.draws) == (0.0, 1)
    assert found.gradient_evaluations == (1 if form == "probe" else 6)
    estimate = fisher_trace(given, module, targets=y, draws=500)
    assert abs(estimate.value - exact) < 4 * estimate.standard_error


def test_empirical_of_bernoulli_and_gaussian():
    module, x = network(1)
    y = torch.tensor([0.0, 1, 1, 0, 1, 0])
    losses = [binary_cross_entropy_with_logits(module(x)[i, 0], y[i].double()) for i in range(6)]
    exact = sum(squared(loss, module) for loss in losses) / 6
    for targets in (y, y[:, None], y.long()):
        assert fisher_trace(lambda: module(x), module, "bernoulli", targets=targets, group=1).value == pytest.approx(
            exact, rel=1e-10
        )
    flat = fisher_trace(lambda: module(x)[:, 0], module, "bernoulli", targets=y, group=1)
    assert flat.value == pytest.approx(exact, rel=1e-10)
    module, x = network(2)
    y = torch.randn(6, 2)
    exact = sum(squared((module(x)[i] - y[i]).square().sum() / 2 / 0.7, module) for i in range(6)) / 6
    found = fisher_trace(lambda: module(x), module, "gaussian", targets=y, group=1, variance=0.7)
    assert found.value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("positions", [(2,), (2, 2)])
def test_dense_predictions_label_every_position(positions):
    module, x = network(3 * math.prod(positions), rows=3)
    shaped = lambda: module(x).reshape(3, 3, *positions)  # noqa: E731
    # Independent positions: the cross terms' mean is zero, and the trace is a sum over positions.
    logs = shaped().log_softmax(1).flatten(2)
    exact = sum(
        float(logs[i, y, q].detach().exp()) * squared(logs[i, y, q], module)
        for i in range(3)
        for y in range(3)
        for q in range(logs.shape[2])
    )
    found = fisher_trace(shaped, module, draws=400, group=1)
    assert abs(found.value - exact / 3) < 4 * found.standard_error
    y = torch.randint(0, 3, (3, *positions))
    losses = [cross_entropy(shaped()[i : i + 1], y[i : i + 1], reduction="sum") for i in range(3)]
    empirical = fisher_trace(shaped, module, targets=y, group=1)
    assert empirical.value == pytest.approx(sum(squared(loss, module) for loss in losses) / 3, rel=1e-10)


def test_for_the_gaussian_it_is_the_gauss_newton_matrix(hessian_of):
    """Of a linear model the Hessian of the mean squared error over 2 sigma^2 is the Fisher matrix."""
    layer, x = nn.Linear(3, 2).double(), torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    loss = (layer(x) - 1.0).square().sum(1).mean() / 2 / 0.4
    trace = float(hessian_of(loss, layer.parameters()).trace())
    assert gaussian(layer, x, 0.4) == pytest.approx(trace, rel=1e-12)
    found = fisher_trace(lambda: layer(x), layer, "gaussian", variance=0.4, draws=300)
    assert abs(found.value - trace) < 4 * found.standard_error


def test_small_groups_make_smaller_errors_and_probes_choose_them():
    module, x = network(3, rows=96)
    probe = Probe(module, x)
    chosen = fisher_trace(probe, module, draws=20)
    whole = fisher_trace(probe, module, draws=20, group=96)
    fine = fisher_trace(probe, module, draws=20, group=1)
    assert fine.standard_error < chosen.standard_error < whole.standard_error / 1.5
    assert chosen.gradient_evaluations == fine.gradient_evaluations == 20


def test_a_block_of_the_parameters():
    module, x = network(3)
    y = torch.tensor([0, 2, 1, 1, 2, 0])
    parts = [fisher_trace(lambda: module(x), part, targets=y, group=1).value for part in (module[0], module[2])]
    assert sum(parts) == pytest.approx(fisher_trace(lambda: module(x), module, targets=y, group=1).value)


def test_a_certain_class_is_never_drawn_otherwise():
    w = nn.Parameter(torch.tensor([0.0, 200.0, 0.0]))
    found = fisher_trace(lambda: w.expand(50, 3), w, draws=10, group=1)
    assert found.value == 0.0


def test_half_precision_outputs():
    module, x = network(3)
    exact = fisher_trace(lambda: module(x), module, targets=torch.zeros(6, dtype=torch.long), group=1).value
    module.to(torch.bfloat16)
    found = fisher_trace(lambda: module(x.bfloat16()), module, targets=torch.zeros(6, dtype=torch.long), group=1)
    assert found.value == pytest.approx(exact, rel=0.05)


def test_sparse_gradients_of_embeddings():
    """Of all first derivatives; an index that comes twice adds up."""
    index, y = torch.tensor([[0, 3, 3], [8, 8, 8]]), torch.tensor([1, 0])
    found = []
    for sparse in (False, True):
        torch.manual_seed(1)
        embedding, head = nn.Embedding(9, 4, sparse=sparse).double(), nn.Linear(4, 2).double()
        outputs = lambda rows=slice(None), e=embedding, h=head: h(e(index[rows]).sum(1))  # noqa: E731
        losses = [lambda i=i, f=outputs: f(slice(i, i + 1)).exp().mean() for i in range(2)]
        one = fisher_trace(outputs, embedding, targets=y, group=1)
        found.append((one.value, gradient_coherence(losses, embedding).cosine, sam_sharpness(losses[0], embedding)))
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert all(found[0])
