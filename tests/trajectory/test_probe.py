"""Chunks are an implementation detail: results are the same, memory is not."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from counterpoint import (
    Probe,
    fisher_trace,
    gradient_coherence,
    hessian_trace,
    sam_sharpness,
    top_eigenvalues,
)
from counterpoint.trajectory.evaluation import Evaluation
from counterpoint.trajectory.parameters import Parameters
from counterpoint.trajectory.plan import planned


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()


X = torch.randn(13, 3, generator=torch.Generator().manual_seed(1)).double()
Y = torch.randint(0, 3, (13,), generator=torch.Generator().manual_seed(2))


@settings(max_examples=12)
@given(st.integers(1, 14), st.sampled_from([1, 2000, 10**9]), st.integers(0, 3))
def test_in_eval_mode_results_do_not_depend_on_chunks(rows, memory, seed):
    module = model(seed).eval()
    part = [*module[0].parameters(), module[3].weight]

    def loss(x, y):
        return cross_entropy(module(x), y)

    chunked, whole = Probe(loss, X, Y, rows=rows, memory=memory), lambda: loss(X, Y)
    a, b = top_eigenvalues(chunked, part, 2), top_eigenvalues(whole, part, 2)
    assert a.values == pytest.approx(b.values, rel=1e-9, abs=1e-12)
    assert hessian_trace(chunked, part, 2).value == pytest.approx(hessian_trace(whole, part, 2).value, rel=1e-9)
    assert sam_sharpness(chunked, part) == pytest.approx(sam_sharpness(whole, part), rel=1e-7)
    for count in (2, 5):
        halves = [Probe(loss, X, Y).split(count)[index] for index in range(count)]
        of_probe = gradient_coherence(chunked, part, minibatches=count)
        of_closures = gradient_coherence(halves, part)
        assert (of_probe.ratio, of_probe.cosine) == pytest.approx((of_closures.ratio, of_closures.cosine), rel=1e-9)
    fishers = [
        fisher_trace(given, part, targets=Y, group=1).value
        for given in (lambda: module(X), Probe(module, X, rows=rows))
    ]
    assert fishers[0] == pytest.approx(fishers[1], rel=1e-9)


def plan_of(probe, params, order=2):
    with Evaluation(Parameters(params), order) as evaluation:
        return planned(probe, evaluation)


def saved(run):
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = run()
    del alive
    return sum(storages.values())


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("memory", [2**17, 2**19])
def test_chunks_fill_the_memory_and_no_more(order, memory):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 64), nn.Tanh(), nn.Linear(64, 64), nn.Softplus(), nn.Linear(64, 3))
    x, y = torch.randn(3000, 5), torch.randint(0, 3, (3000,))
    probe = Probe(lambda x, y: cross_entropy(module(x), y), x, y, memory=memory)
    plan = plan_of(probe, module, order)
    assert not plan.keep

    def run(part=plan.closures[0]):
        loss = part()
        return loss, order == 2 and torch.autograd.grad(loss, list(module.parameters()), create_graph=True)

    weights = sum(p.numel() * 4 for p in module.parameters())
    held = saved(run)
    assert 0.6 * memory < held < memory + weights + 8 * x.shape[0] * 5
    sizes = [part.rows for part in plan.closures]
    assert sum(sizes) == 3000
    assert max(sizes) - min(sizes) <= 1
    assert plan.shares == pytest.approx([size / 3000 for size in sizes])


def test_graphs_are_kept_while_they_fit_and_a_chunk_has_a_row_at_least():
    module = model().eval()
    given = {"rows": 4}
    kept = plan_of(Probe(lambda x, y: cross_entropy(module(x), y), X, Y, **given), module)
    assert kept.keep
    assert len(kept.closures) == 4
    again = plan_of(Probe(lambda x, y: cross_entropy(module(x), y), X, Y, memory=1), module)
    assert not again.keep
    assert [part.rows for part in again.closures] == [1] * 13
    whole = plan_of(Probe(lambda x, y: cross_entropy(module(x), y), X, Y), module)
    assert whole.keep
    assert len(whole.closures) == 1


def test_one_row():
    module = model().eval()
    probe = Probe(lambda x, y: cross_entropy(module(x), y), X[:1], Y[:1])
    exact = top_eigenvalues(cross_entropy(module(X[:1]), Y[:1]), module)
    assert top_eigenvalues(probe, module).values == pytest.approx(exact.values)


class Pair(NamedTuple):
    left: torch.Tensor
    right: tuple[torch.Tensor]


def test_nested_inputs_are_cut_row_by_row():
    w = nn.Parameter(torch.ones(2, dtype=torch.float64))
    seen = []

    def loss(batch, more):
        assert isinstance(more, Pair)
        assert isinstance(batch["x"], list)
        seen.append((len(batch["x"][0]), more.left.shape[0], more.right[0].shape[0]))
        return (batch["x"][0] @ w - more.left).square().mean() + more.right[0].mean()

    x, y = torch.randn(7, 2).double(), torch.randn(7).double()
    probe = Probe(loss, {"x": [x]}, Pair(y, (y,)), rows=3)
    exact = 2 * torch.linalg.eigvalsh(x.T @ x / 7)[-1]
    assert top_eigenvalues(probe, w).values[0] == pytest.approx(float(exact), rel=1e-9)
    assert all(len(set(sizes)) == 1 for sizes in seen)
    assert {sizes[0] for sizes in seen[-3:]} == {2, 3}
    assert torch.equal(probe(), loss({"x": [x]}, Pair(y, (y,))))


def test_dropout_has_the_same_masks_in_every_evaluation():
    """Whether graphs are kept or computed again; and other masks in other chunks."""
    module = model().train()
    module[3].eval()
    torch.manual_seed(5)

    def found(**options):
        probe = Probe(lambda x, y: cross_entropy(module(x), y), X, Y, rows=4, **options)
        return top_eigenvalues(probe, module, 2).values

    assert found(memory=1) == pytest.approx(found(), rel=1e-9)
    outputs = []
    ones = torch.ones(8, 50)
    p = nn.Parameter(torch.ones(2))
    dropout = nn.Dropout(0.5)
    probe = Probe(
        lambda x: (outputs.append(dropout(x).detach()), (p.prod() * x).square().mean())[1], ones, rows=4, memory=1
    )
    top_eigenvalues(probe, p)
    first, second = outputs[-2:]
    assert not torch.equal(first, second)
    assert torch.equal(first, outputs[-4])
    assert torch.equal(second, outputs[-3])


def test_rows_whose_loss_depends_on_nothing_count_as_zero():
    w = nn.Parameter(torch.ones(2, dtype=torch.float64))
    x = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)

    def loss(x):
        return (x.mean() * w.square()).sum() if bool(x.any()) else torch.zeros((), dtype=torch.float64)

    assert top_eigenvalues(Probe(loss, x, rows=2), w).values == pytest.approx([1.0])
    assert top_eigenvalues(Probe(loss, x, rows=2, memory=1), w).values == pytest.approx([1.0])
