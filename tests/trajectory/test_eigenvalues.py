"""Eigenvalues are those of the dense Hessian, of whatever parameters were chosen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from counterpoint import MGDA, FanOut, MultiTaskModel, Probe, top_eigenvalues


def exact_values(matrix, k):
    return np.linalg.eigvalsh(matrix.numpy())[::-1][:k]


def close(found, exact, relative=1e-8):
    np.testing.assert_allclose(found.values, exact, rtol=relative, atol=relative * abs(exact).max())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_of_small_networks(network, hessian_of, k):
    module, x, y = network
    found = top_eigenvalues(lambda: cross_entropy(module(x), y), module, k)
    close(found, exact_values(hessian_of(cross_entropy(module(x), y), module.parameters()), k))
    assert found.converged
    assert (found.residuals < 1e-6).all()


def test_largest_in_magnitude_and_the_same_of_a_loss_with_its_graph(network, hessian_of):
    module, x, y = network
    loss = -cross_entropy(module(x), y)  # turned: what is largest in magnitude is negative
    matrix = hessian_of(loss, module.parameters()).numpy()
    values = np.linalg.eigvalsh(matrix)
    largest = np.sort(values[np.argsort(-np.abs(values))[:2]])[::-1]
    found = top_eigenvalues(loss, module.parameters(), 2, which="magnitude")
    close(found, largest)
    assert (found.values < 0).all()
    close(top_eigenvalues(loss, module, 2), values[::-1][:2])
    loss.backward()  # the graph is still there


@pytest.fixture
def two_tasks():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3), nn.Tanh())
    heads = {"a": nn.Linear(3, 1), "b": nn.Linear(3, 2)}
    model = MultiTaskModel(encoder, heads, FanOut(MGDA(), ["a", "b"])).double()
    x, y = torch.randn(9, 4).double(), {"a": torch.randn(9, 1).double(), "b": torch.randn(9, 2).double()}
    return model, lambda task: (model(x)[task] - y[task]).square().mean()


def test_of_one_task_in_the_shared_parameters_is_the_block_and_unweighted(two_tasks, hessian_of):
    model, loss = two_tasks
    assert model.training
    found = {task: top_eigenvalues(lambda task=task: loss(task), model.encoder, 3) for task in "ab"}
    together = top_eigenvalues(lambda: loss("a") + loss("b"), model, 3)
    assert model.fan_out.training
    assert model.fan_out.last is None
    model.eval()
    for task in "ab":
        block = hessian_of(loss(task), model.encoder.parameters())
        assert len(block) == sum(p.numel() for p in model.encoder.parameters())
        close(found[task], exact_values(block, 3))
    close(together, exact_values(hessian_of(loss("a") + loss("b"), model.parameters()), 3))


def test_through_the_sum_of_a_fan(two_tasks):
    model, loss = two_tasks
    summed = top_eigenvalues(lambda: model.fan_out.sum({task: loss(task) for task in "ab"}), model.encoder)
    plain = top_eigenvalues(lambda: loss("a") + loss("b"), model.encoder)
    close(summed, plain.values)
    assert model.fan_out.last is None
    assert model.fan_out._pass._context.losses is None


def quadratic(spectrum, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(spectrum)
    basis, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    matrix = (basis * torch.tensor(spectrum, dtype=torch.float64)) @ basis.T
    w = nn.Parameter(torch.randn(n, dtype=torch.float64, generator=generator))
    return w, lambda: 0.5 * w @ matrix @ w


@pytest.mark.parametrize("n", [12, 60])
@pytest.mark.parametrize("k", [1, 4, 6])
def test_repeated_zero_and_negative_eigenvalues(n, k):
    spectrum = [-7.0, -7.0, 5.0, 5.0, 5.0, 2.0, *[0.0] * (n - 8), -1.0, 1.0]
    w, loss = quadratic(spectrum)
    close(top_eigenvalues(loss, w, k), np.sort(spectrum)[::-1][:k])
    by_magnitude = [[-7.0], [5.0, 5.0, -7.0, -7.0], [5.0, 5.0, 5.0, 2.0, -7.0, -7.0]][[1, 4, 6].index(k)]
    close(top_eigenvalues(loss, w, k, which="magnitude"), np.array(by_magnitude))


@pytest.mark.parametrize("n", [5, 30])
def test_all_negative_and_zero(n):
    w, loss = quadratic([-float(i) for i in range(1, n + 1)])
    close(top_eigenvalues(loss, w, 2), np.array([-1.0, -2.0]))
    w, loss = quadratic([0.0] * n)
    assert (top_eigenvalues(loss, w, 2).values == 0.0).all()


@given(st.integers(1, 8), st.integers(0, 99), st.floats(0.01, 100.0))
def test_scaling_the_loss_scales_them_and_all_are_found(n, seed, factor):
    spectrum = np.random.default_rng(seed).normal(size=n)
    w, loss = quadratic(spectrum.tolist(), seed)
    found = top_eigenvalues(lambda: factor * loss(), w, n)
    np.testing.assert_allclose(found.values, factor * np.sort(spectrum)[::-1], rtol=1e-9, atol=1e-9 * factor)
    assert found.gradient_evaluations == 1 + 2 * n


@pytest.mark.parametrize("factor", [1e-30, 1e-18, 1e18, 1e30])
@pytest.mark.parametrize("k", [1, 5])
def test_tiny_and_huge_losses_are_as_accurate(factor, k):
    """ARPACK takes eigenvalues below 1e-11 for zero."""
    spectrum = np.linspace(0, 1, 200) ** 3
    w, loss = quadratic(spectrum.tolist())
    found = top_eigenvalues(lambda: factor * loss(), w, k)
    assert found.converged
    np.testing.assert_allclose(found.values / factor, spectrum[::-1][:k], rtol=1e-8)


def test_piecewise_linear_losses_have_none():
    w = nn.Parameter(torch.randn(50, dtype=torch.float64))
    for loss in (lambda: w[1:].abs().sum() + 1, lambda: 3 * w[1] + w[2], lambda: torch.relu(w).sum() + w[0]):
        found = top_eigenvalues(loss, w, 2)
        assert found.values.tolist() == [0.0, 0.0]
        assert found.converged


def test_unused_parameters_are_zero_rows():
    used, unused = nn.Parameter(torch.randn(25).double()), nn.Parameter(torch.randn(30).double())
    found = top_eigenvalues(lambda: -used.square().sum(), [used, unused], 2)
    assert found.values == pytest.approx([0.0, 0.0], abs=1e-12)
    assert top_eigenvalues(lambda: 3 * used.square().sum(), [unused, used]).values == pytest.approx([6.0])


def test_not_converged_says_so_and_residuals_bound_the_error():
    spectrum = np.arange(500.0)
    diagonal = torch.from_numpy(spectrum)
    w = nn.Parameter(torch.zeros(500, dtype=torch.float64))
    found = top_eigenvalues(lambda: (diagonal * w.square()).sum() / 2, w, 3, max_products=20)
    assert not found.converged
    assert found.gradient_evaluations < 2 * 80
    assert (np.abs(found.values[:, None] - spectrum).min(1) <= found.residuals).all()
    assert found.values[0] > 400.0


def test_costs_are_counted():
    calls = []
    w, quadratic_loss = quadratic([1.0, 2.0, 3.0])

    def loss():
        calls.append(0)
        return quadratic_loss()

    found = top_eigenvalues(loss, w)
    assert found.gradient_evaluations == 1 + 2 * 3
    assert len(calls) == 1  # the graph is kept
    x = torch.arange(1.0, 9.0, dtype=torch.float64)
    recomputed = Probe(lambda x: (x[:, None] * w.square()).sum(1).mean(), x, rows=2, memory=1)
    found = top_eigenvalues(recomputed, w)
    assert found.gradient_evaluations == 3 * 3
    assert found.values == pytest.approx([9.0])


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float32, 1e-3), (torch.bfloat16, 0.05), (torch.float16, 0.02)])
def test_low_precision(dtype, relative):
    torch.manual_seed(0)
    x = torch.randn(64, 30)
    w = nn.Parameter((torch.randn(30) / 5).to(dtype))
    found = top_eigenvalues(lambda: (x.to(dtype) @ w).float().sigmoid().square().mean(), w, 2)
    double = nn.Parameter(w.detach().double())
    exact = top_eigenvalues(lambda: (x.to(dtype).double() @ double).sigmoid().square().mean(), double, 2)
    close(found, exact.values, relative)


@pytest.mark.parametrize("sparse", [False, True])
def test_embeddings(hessian_of, sparse):
    torch.manual_seed(1)
    embedding, head = nn.Embedding(9, 4, sparse=sparse).double(), nn.Linear(4, 1).double()
    index = torch.tensor([0, 3, 3, 8])
    loss = lambda: head(embedding(index)).exp().mean()  # noqa: E731
    found = top_eigenvalues(loss, [embedding.weight, head.weight], 2)
    dense = nn.Embedding.from_pretrained(embedding.weight.detach().clone(), freeze=False)
    tensors = [dense.weight, head.weight]
    close(found, exact_values(hessian_of(head(dense(index)).exp().mean(), tensors), 2))


def test_the_same_seed_gives_the_same_answer_and_another_one_nearly():
    w, loss = quadratic(np.random.default_rng(0).normal(size=80).tolist())
    first, again, other = (top_eigenvalues(loss, w, 3, seed=seed) for seed in (1, 1, 2))
    assert first.values.tolist() == again.values.tolist()
    np.testing.assert_allclose(first.values, other.values, rtol=1e-8)


@pytest.mark.parametrize("which", ["largest", "magnitude"])
def test_few_different_eigenvalues_are_counted_as_often_as_they_occur(which):
    """One Krylov space holds one copy of each; ARPACK alone gets one in ten of these wrong."""
    size = np.abs if which == "magnitude" else np.positive
    for seed in range(40):
        generator = np.random.default_rng(seed)
        n, k = generator.integers(25, 70), generator.integers(1, 8)
        spectrum = generator.choice(generator.choice([-3.0, -1.0, -0.5, 0.0, 0.3, 2.0], generator.integers(1, 6)), n)
        w = nn.Parameter(torch.zeros(n, dtype=torch.float64))
        loss = 0.5 * (torch.from_numpy(spectrum) * w.square()).sum()
        found = top_eigenvalues(loss, w, k, which=which)
        np.testing.assert_allclose(np.sort(size(found.values)), np.sort(size(spectrum))[-k:], atol=1e-8)
        assert found.converged
        assert (np.diff(found.values) <= 0).all()


def test_a_linear_layer_with_squared_error_has_each_of_them_once_an_output(hessian_of):
    torch.manual_seed(0)
    layer, x = nn.Linear(7, 4).double(), torch.randn(20, 7).double()
    loss = lambda: layer(x).square().mean()  # noqa: E731
    exact = exact_values(hessian_of(loss(), layer.parameters()), 8)
    assert exact[0] == pytest.approx(exact[3])
    close(top_eigenvalues(loss, layer, 8), exact)
