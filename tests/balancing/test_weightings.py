"""Weightings: what they promise about weights, and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import MGDA, Uniform, Weighting, get_weighting, min_norm_point, weighting_names
from counterpoint.balancing.frank_wolfe import frank_wolfe


def random_gram(seed, T, d=30):
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(T, d)))
    return vectors @ vectors.T


@given(st.integers(0, 10**6), st.integers(1, 10), st.sampled_from(weighting_names()))
def test_every_weighting_is_permutation_equivariant(seed, T, name):
    gram = random_gram(seed, T)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(T))
    weights = get_weighting(name)(gram)
    torch.testing.assert_close(get_weighting(name)(gram[order][:, order]), weights[order], rtol=0, atol=1e-7)


@given(st.integers(0, 10**6), st.integers(2, 10), st.floats(1e-6, 1e6))
def test_mgda_ignores_a_joint_scale(seed, T, scale):
    gram = random_gram(seed, T)
    torch.testing.assert_close(MGDA()(gram * scale), MGDA()(gram), rtol=1e-7, atol=1e-9)


def test_mgda_equals_the_min_norm_point_also_after_other_steps():
    weighting = MGDA()
    for seed in range(20):
        gram = random_gram(seed, 12, d=9)
        torch.testing.assert_close(weighting(gram), min_norm_point(gram).weights, rtol=0, atol=1e-6)
    assert len(weighting(random_gram(0, 5))) == 5  # another number of tasks than in the step before


def test_frank_wolfe_approaches_the_optimum_from_above():
    gram = random_gram(3, 8)
    best = min_norm_point(gram).norm_squared
    reached = []
    for iterations in (1, 10, 250):
        weights = MGDA(solver="frank-wolfe", max_iterations=iterations)(gram)
        assert weights.min() >= 0
        assert float(weights.sum()) == pytest.approx(1)
        reached.append(float(weights @ gram @ weights))
    assert best <= reached[2] <= reached[1] <= reached[0]
    assert reached[2] == pytest.approx(best, rel=1e-2)


def test_frank_wolfe_stops_at_a_vertex_that_is_optimal():
    assert frank_wolfe(np.array([[1.0, 2.0], [2.0, 5.0]])).tolist() == [1.0, 0.0]


def test_l2_normalization_makes_gradient_norms_irrelevant():
    gram = random_gram(0, 5)
    scales = torch.tensor([1e-3, 1.0, 10.0, 1e3, 5.0], dtype=torch.float64)
    weighting = MGDA(normalize="l2")
    torch.testing.assert_close(weighting(gram * scales * scales[:, None]), weighting(gram), rtol=1e-6, atol=1e-9)
    gram[2], gram[:, 2] = 0, 0
    assert weighting(gram).tolist() == [0, 0, 1, 0, 0]


def test_uniform_weighs_one_each():
    assert Uniform()(random_gram(0, 3)).tolist() == [1, 1, 1]


def test_names_lead_to_weightings():
    assert set(weighting_names()) >= {"uniform", "mgda"}
    assert all(isinstance(get_weighting(name), Weighting) for name in weighting_names())
    assert get_weighting("MGDA").solver == "active-set"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: get_weighting("mgad"), "unknown weighting 'mgad'.*try 'mgda'"),
        (lambda: get_weighting("mgda", speed=9), "weighting 'mgda' does not take these options.*speed"),
        (
            lambda: MGDA(solver="simplex"),
            "solver='simplex' is unknown, expected one of active-set, frank-wolfe",
        ),
        (lambda: MGDA(normalize="max"), "normalize='max' is unknown"),
        (lambda: MGDA()(torch.full((3, 3), torch.nan)), "NaN or infinity"),
        (lambda: MGDA(max_iterations=0), "expected at least 1"),
        (lambda: MGDA()(torch.ones(2, 3)), r"shape \[2, 3\], expected a square matrix"),
        (lambda: Uniform()(torch.ones(2, 2), torch.ones(3)), r"losses have shape \[3\], expected \[2\]"),
    ],
)
def test_bad_arguments_get_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
