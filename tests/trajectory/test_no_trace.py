"""Measuring changes nothing, bit for bit, whatever mode the network is in."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from counterpoint import (
    MGDA,
    FanOut,
    GradNorm,
    Probe,
    fisher_trace,
    gradient_coherence,
    hessian_trace,
    sam_sharpness,
    top_eigenvalues,
)


def numbers():
    return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.fixture(params=["train", "eval"])
def lively(request, make_problem):
    problem = make_problem(dropout=0.3, norm=True, fan=FanOut(MGDA(), ["a", "b", "c"]))
    optimizer = torch.optim.Adam(problem.parameters(), lr=0.05)
    problem.train_a_little(optimizer)
    problem.train(request.param == "train")
    return problem, optimizer


def of(problem, rows=None):
    x = problem.x if rows is None else problem.x[rows]
    return problem.heads["a"](problem.fan(problem.encoder(x))["a"]).square().mean()


def probe(problem, **options):
    def loss(x):
        random.random()  # noqa: S311
        np.random.rand()  # noqa: NPY002
        return problem.heads["a"](problem.fan(problem.encoder(x))["a"]).square().mean()

    return Probe(loss, problem.x, rows=8, **options)


def outputs(problem):
    return lambda: problem.heads["a"](problem.fan(problem.encoder(problem.x))["a"])


MEASURES = {
    "eigenvalues": lambda p: top_eigenvalues(lambda: of(p), p.encoder, 2),
    "eigenvalues of a probe": lambda p: top_eigenvalues(probe(p, memory=1), p, 1),
    "trace": lambda p: hessian_trace(lambda: of(p), p.encoder, 3),
    "trace of a probe": lambda p: hessian_trace(probe(p), p.encoder.parameters(), 3),
    "fisher": lambda p: fisher_trace(outputs(p), p.encoder),
    "fisher of a probe": lambda p: fisher_trace(
        Probe(lambda x: p.heads["a"](p.fan(p.encoder(x))["a"]), p.x), p.encoder, "gaussian", draws=2
    ),
    "coherence": lambda p: gradient_coherence([lambda: of(p, slice(0, 8)), lambda: of(p, slice(8, 16))], p.encoder),
    "coherence of a probe": lambda p: gradient_coherence(probe(p), p.encoder, minibatches=2),
    "sharpness": lambda p: sam_sharpness(lambda: of(p), p.encoder),
    "sharpness of a probe": lambda p: sam_sharpness(probe(p), p.encoder),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("with_grad", [False, True])
def test_everything_is_as_before(lively, snapshot, measure, with_grad):
    problem, optimizer = lively
    if with_grad:
        sum(problem.losses().values()).backward()
    record = problem.fan.last
    before, states = snapshot(problem, optimizer), numbers()
    first = MEASURES[measure](problem)
    assert before == snapshot(problem, optimizer)
    assert numbers() == states
    assert problem.fan.last is record
    second = MEASURES[measure](problem)
    assert repr(first) == repr(second)  # the same numbers, dropout and all


class Interrupt(BaseException):
    pass


@pytest.mark.parametrize(
    ("measure", "call"),
    [
        ("eigenvalues of a probe", 1),
        ("eigenvalues of a probe", 6),
        ("trace of a probe", 2),
        ("fisher of a probe", 3),
        ("coherence of a probe", 2),
        ("sharpness of a probe", 4),
    ],
)
def test_also_when_it_raises_in_the_middle(lively, snapshot, measure, call):
    problem, optimizer = lively
    calls = []

    def count(*_):
        calls.append(0)
        if len(calls) == call:
            raise Interrupt

    handle = problem.heads["a"].register_forward_hook(count)
    before, states = snapshot(problem, optimizer), numbers()
    with pytest.raises(Interrupt):
        MEASURES[measure](problem)
    assert before == snapshot(problem, optimizer)
    assert numbers() == states
    handle.remove()
    assert problem.fan.training == problem.encoder.training


@pytest.mark.parametrize("frozen", [False, True])
def test_requires_grad_and_a_learned_weighting_stay(make_problem, snapshot, frozen):
    problem = make_problem(fan=FanOut(GradNorm(), ["a", "b", "c"]))
    for loss in (problem.losses(), problem.losses()):
        problem.fan.sum(loss).backward()
    problem.encoder[0].weight.requires_grad_(not frozen)
    before = snapshot(problem, None)
    found = top_eigenvalues(lambda: problem.fan.sum(problem.losses()), problem.encoder)
    assert np.isfinite(found.values).all()
    assert before == snapshot(problem, None)
    assert problem.encoder[0].weight.requires_grad is not frozen


def test_a_loss_with_its_graph_stays_usable(make_problem, snapshot, gradient_of):
    problem = make_problem(dropout=0.3, norm=True)
    loss = of_plain(problem)
    before = snapshot(problem, None)
    top_eigenvalues(loss, problem.encoder)
    hessian_trace(loss, problem.encoder, 2)
    gradient_coherence([loss, loss], problem.encoder)
    assert before == snapshot(problem, None)
    expected = gradient_of(loss, problem.encoder.parameters())
    loss.backward()
    found = torch.cat([p.grad.flatten() for p in problem.encoder.parameters()])
    assert torch.equal(found, expected)


def of_plain(problem):
    return problem.heads["a"](problem.encoder(problem.x)).square().mean()


def test_batchnorm_in_train_mode_is_measured_in_train_mode(make_problem):
    problem = make_problem(norm=True)
    train = top_eigenvalues(lambda: of_plain(problem), problem.encoder).values
    direct = top_eigenvalues(of_plain(problem), problem.encoder).values
    assert train == pytest.approx(direct)
    problem.eval()
    assert top_eigenvalues(lambda: of_plain(problem), problem.encoder).values != pytest.approx(train)


class Checkpointed(nn.Sequential):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


def test_checkpointed_layers(make_problem, snapshot):
    problem = make_problem(norm=True)
    plain = top_eigenvalues(lambda: of_plain(problem), problem.encoder).values
    problem.encoder = Checkpointed(*problem.encoder)
    before = snapshot(problem, None)
    assert top_eigenvalues(lambda: of_plain(problem), problem.encoder).values == pytest.approx(plain)
    assert before == snapshot(problem, None)


def test_under_no_grad_and_inference_mode(make_problem, snapshot):
    problem = make_problem(norm=True)
    before = snapshot(problem, None)
    plain = top_eigenvalues(lambda: of_plain(problem), problem.encoder).values
    with torch.no_grad():
        assert top_eigenvalues(lambda: of_plain(problem), problem.encoder).values == pytest.approx(plain)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert top_eigenvalues(lambda: of_plain(problem), problem.encoder).values == pytest.approx(plain)
        assert torch.is_inference_mode_enabled()
    assert before == snapshot(problem, None)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_under_inference_mode(make_problem, measure):
    problem = make_problem(fan=FanOut(MGDA(), ["a", "b", "c"]))
    outside = MEASURES[measure](problem)
    with torch.inference_mode():
        inside = MEASURES[measure](problem)
    assert repr(inside) == repr(outside)


def test_under_autocast(make_problem, snapshot):
    problem = make_problem().float()
    problem.x = problem.x.float()
    plain = top_eigenvalues(lambda: of_plain(problem), problem.encoder).values
    before = snapshot(problem, None)
    with torch.autocast("cpu", torch.bfloat16):
        found = top_eigenvalues(lambda: of_plain(problem), problem.encoder, tolerance=1e-2).values
    assert found == pytest.approx(plain, rel=0.1)
    assert before == snapshot(problem, None)
