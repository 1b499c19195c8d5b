"""Gradients of any length that float32 holds: weights and updates stay finite, and one without digits has no say."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from counterpoint import DiBS, FairGrad, FanOut, Nash, get_weighting
from counterpoint.balancing.faint import FAINTEST, LARGEST_WEIGHT, is_faint, without_faint
from counterpoint.balancing.weightings.gram_root import gram_root

MAKE = {
    "dibs": DiBS,
    "dibs, 3 steps": lambda: DiBS(steps=3),
    "dibs, recent": lambda: DiBS(recent=10),
    "nash": Nash,
    "nash, bounded": lambda: Nash(max_norm=1.0),
    "fairgrad": FairGrad,
    "fairgrad, alpha 5": lambda: FairGrad(5.0),
    "fairgrad, alpha 0.5": lambda: FairGrad(0.5),
    "imtlg": lambda: get_weighting("imtlg"),
    "config": lambda: get_weighting("config"),
}
EXPONENTS = (-45, -42, -38, -36, -31, -28, -20, -10, 0, 10, 20, 30)


class Net(nn.Module):
    """Three tasks whose gradients at the features are given directions times given lengths."""

    def __init__(self, weighting, **options):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.fan = nn.Linear(5, 16), FanOut(weighting, list("abc"), **options)
        self.x = torch.randn(8, 5)
        self.directions = {task: torch.randn(8, 16, dtype=torch.float64) / 128**0.5 for task in "abc"}

    def step(self, *lengths):
        self.zero_grad()
        own = self.fan(self.encoder(self.x))
        scaled = {
            task: (d * length).float() for (task, d), length in zip(self.directions.items(), lengths, strict=True)
        }
        self.fan.sum({task: (own[task] * scaled[task]).sum() for task in own}).backward()
        return self.fan.last.weights


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("where", ["one task", "all tasks", "both ways"])
def test_a_float32_step_is_finite_whatever_the_lengths(name, where):
    net = Net(MAKE[name]())
    for exponent in EXPONENTS:
        length = 10.0**exponent
        lengths = {"one task": (1, 1, length), "all tasks": (length,) * 3, "both ways": (1, length, 1e30)}[where]
        weights = net.step(*lengths)
        assert weights.isfinite().all(), lengths
        assert weights.to(torch.float32).isfinite().all(), lengths
        assert net.encoder.weight.grad.isfinite().all(), lengths


@pytest.mark.parametrize("name", ["dibs", "dibs, 3 steps", "nash", "fairgrad", "config"])
@pytest.mark.parametrize("length", [1e-33, 1e-38, 1e-42, 0.0])
def test_a_faint_task_is_like_one_whose_gradient_is_zero(name, length):
    weights = Net(MAKE[name]()).step(1, 2, length)
    expected = Net(MAKE[name]()).step(1, 2, 0.0)
    assert weights[2] == 0
    torch.testing.assert_close(weights, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("length", [1e-30, 1e-20, 1e-5, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("name", ["dibs", "nash"])
def test_every_other_gradient_has_its_full_say(name, length):
    net, plain = Net(MAKE[name]()), Net(MAKE[name]())
    net.step(1, 2, length)
    plain.step(1, 2, 3)
    torch.testing.assert_close(net.encoder.weight.grad, plain.encoder.weight.grad, rtol=1e-5, atol=1e-6)


def test_weighted_heads_stay_finite():
    torch.manual_seed(0)
    encoder, heads = nn.Linear(5, 16), nn.ModuleDict({task: nn.Linear(16, 1) for task in "ab"})
    fan = FanOut(DiBS(), list("ab"), heads="weighted", head_modules=dict(heads.items()))
    for length in (1e-42, 1e-38, 1e-35, 1e-30, 1e-10, 1e10):
        own = fan(encoder(torch.randn(8, 5)))
        fan.sum({"a": heads["a"](own["a"]).mean(), "b": heads["b"](own["b"]).mean() * length}).backward()
        for parameter in itertools.chain(encoder.parameters(), heads.parameters()):
            assert parameter.grad.isfinite().all(), length


@given(st.floats(-44, 30), st.floats(-44, 30), st.floats(0.2, 20))
def test_no_weight_of_fairgrad_exceeds_what_float32_multiplies(a, b, alpha):
    vectors = np.array([[1.0, 0.3], [0.2, 1.0]]) * 10.0 ** np.array([[a], [b]])
    weights = FairGrad(alpha)(torch.from_numpy(vectors @ vectors.T))
    assert (weights >= 0).all()
    assert (weights <= LARGEST_WEIGHT).all()


@pytest.mark.parametrize(("alpha", "limit"), [(2.0, 6e-24), (5.0, 3e-19)])
def test_where_fairgrad_gives_a_task_up(alpha, limit):
    def last(length):
        return FairGrad(alpha)(torch.diag(torch.tensor([1.0, length**2], dtype=torch.float64)))[1]

    assert last(2 * limit) > 0
    assert last(limit / 2) == 0


def test_the_limit_is_where_numbers_begin_to_lose_digits():
    float32 = torch.finfo(torch.float32)
    assert pytest.approx(float32.tiny / float32.eps) == FAINTEST
    assert is_faint(0.0)
    assert is_faint(math.nan)
    assert not is_faint(2 * FAINTEST)
    assert float32.max > LARGEST_WEIGHT


def test_matrices_without_faint_gradients_stay_the_same_object():
    matrix = np.diag([1.0, 1e-60])
    assert without_faint(matrix) is matrix
    assert without_faint(np.array([[1.0, 1e-40], [1e-40, 1e-70]])).tolist() == [[1, 0], [0, 0]]


@given(st.integers(0, 10**6), st.floats(-60, -33))
def test_a_root_leaves_a_faint_gradient_out(seed, exponent):
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 6)))
    vectors[2] *= 10.0**exponent
    root = gram_root(vectors @ vectors.T)
    assert root.vectors.shape == (3, 2)
    assert (root.vectors[2] == 0).all()
    assert (root.inverse[2].abs() < 1e-12).all()
    torch.testing.assert_close(root.vectors[:2] @ root.vectors[:2].T, (vectors @ vectors.T)[:2, :2])
