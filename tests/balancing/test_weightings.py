"""Weightings: what they promise about weights, and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import MGDA, Uniform, Weighting, get_weighting, min_norm_point, weighting_names
from counterpoint.balancing.frank_wolfe import frank_wolfe
from counterpoint.balancing.step import Step

OURS = ("mgda", "uniform", "dibs", "nash", "fairgrad", "gradnorm")


def random_gram(seed, T, d=30):
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(T, d)))
    return vectors @ vectors.T


@given(st.integers(0, 10**6), st.integers(1, 10), st.sampled_from(OURS))
def test_every_weighting_of_ours_is_permutation_equivariant(seed, T, name):
    gram = random_gram(seed, T)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(T))
    losses = torch.linspace(0.5, 3, T, dtype=torch.float64)
    first, second = get_weighting(name), get_weighting(name)
    for _ in range(2):  # the second step sees what was learned in the first
        weights = first(gram, losses)
        torch.testing.assert_close(second(gram[order][:, order], losses[order]), weights[order], rtol=0, atol=1e-7)
        losses = losses.flip(0)


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
    assert set(weighting_names()[: len(OURS)]) == set(OURS)
    assert all(isinstance(get_weighting(name), Weighting) for name in OURS)
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
        (lambda: MGDA()(torch.tensor([[1.0, 0.5], [0.1, 1.0]])), "not symmetric"),
        (lambda: Uniform()(torch.tensor([[1.0, 0.0], [0.0, -1.0]])), "not positive semidefinite"),
        (lambda: MGDA()(torch.tensor([[1.0, 2.0], [2.0, 1.0]])), "not positive semidefinite"),
        # Every pair of tasks is possible, all three are not; the weights of Uniform would not show it.
        (lambda: Uniform()(2 * torch.eye(3) - 1.0), "not positive semidefinite"),
        (lambda: MGDA(max_iterations=0), "expected at least 1"),
        (lambda: MGDA()(torch.ones(2, 3)), r"shape \[2, 3\], expected a square matrix"),
        (lambda: Uniform()(torch.ones(2, 2), torch.ones(3)), r"losses have shape \[3\], expected \[2\]"),
    ],
)
def test_bad_arguments_get_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("normalize", ["loss", "loss+"])
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_normalizing_by_losses_solves_for_the_divided_gradients(normalize, seed, T):
    gram = random_gram(seed, T)
    losses = torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 10, size=T))
    sizes = losses * gram.diagonal().sqrt() if normalize == "loss+" else losses
    expected = MGDA()(gram / sizes / sizes[:, None])
    torch.testing.assert_close(MGDA(normalize=normalize)(gram, losses), expected, rtol=1e-6, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(1e-3, 1e3))
def test_a_joint_scale_of_the_losses_changes_nothing(seed, T, scale):
    gram = random_gram(seed, T)
    losses = torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 10, size=T))
    weighting = MGDA(normalize="loss")
    torch.testing.assert_close(weighting(gram, losses * scale), weighting(gram, losses), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("normalize", ["loss", "loss+"])
def test_a_task_whose_loss_is_zero_is_left_out(normalize):
    gram, alive = random_gram(1, 4), torch.tensor([0, 2, 3])
    weighting, losses = MGDA(normalize=normalize), torch.tensor([1.0, 0.0, 2.0, 3.0])
    weights = weighting(gram, losses)
    assert weights[1] == 0
    torch.testing.assert_close(weights[alive], weighting(gram[alive][:, alive], losses[alive]))
    plain = "l2" if normalize == "loss+" else "none"
    torch.testing.assert_close(weighting(gram, torch.zeros(4)), MGDA(normalize=plain)(gram))


def test_only_normalizing_by_losses_needs_them():
    needing = [normalize for normalize in ("none", "l2", "loss", "loss+") if MGDA(normalize=normalize).needs_losses]
    assert needing == ["loss", "loss+"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: MGDA(normalize="loss")(torch.eye(2)), "normalize='loss'.* needs losses"),
        (
            lambda: MGDA(normalize="loss+").weigh(Step(("a",), ("a",), torch.eye(1))),
            r"MGDA\(.*'loss\+'\) needs the losses, expected fan.sum\(losses\).backward\(\)",
        ),
        (
            lambda: MGDA(normalize="loss")(torch.eye(2), torch.tensor([1.0, -1.0])),
            r"got losses \[1.0, -1.0\], expected non-negative finite numbers",
        ),
        (
            lambda: MGDA(normalize="loss")(torch.eye(2), torch.tensor([1.0, torch.nan])),
            "expected non-negative finite numbers",
        ),
    ],
)
def test_losses_that_do_not_do_get_one_line(act, message):
    with pytest.raises(ValueError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)
