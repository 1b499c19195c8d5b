"""Nash and FairGrad: every task gains in fair proportion, G w = w^(-1/alpha)."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from counterpoint.balancing.fair_point import fair_point
from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.fairgrad import FairGrad
from counterpoint.balancing.weightings.nash import Nash

SEEDS = st.integers(0, 10**6)
ALPHAS = st.sampled_from([0.5, 1.0, 2.0, 5.0])


def random_gram(seed, T, d=30, shift=0.3):
    vectors = np.random.default_rng(seed).normal(size=(T, d)) + shift
    return vectors @ vectors.T


def residual(gram, weights, alpha):
    return np.abs(weights ** (1 / alpha) * (gram @ weights) - 1).max()


@given(SEEDS, st.integers(1, 20), ALPHAS)
def test_the_equation_holds(seed, T, alpha):
    gram = random_gram(seed, T)
    weights, reported, _ = fair_point(gram, alpha)
    assert (weights > 0).all()
    assert reported <= 1e-10
    assert residual(gram, weights, alpha) <= 2e-10  # the factors of E round


@given(SEEDS, st.integers(1, 10), ALPHAS)
def test_permuting_the_tasks_permutes_the_weights(seed, T, alpha):
    gram = random_gram(seed, T)
    order = np.random.default_rng(seed).permutation(T)
    np.testing.assert_allclose(fair_point(gram[order][:, order], alpha)[0], fair_point(gram, alpha)[0][order], 1e-7)


@given(SEEDS, st.integers(1, 10), ALPHAS, st.sampled_from([1e-30, 1e-12, 1e-3, 1e3, 1e12, 1e30]))
def test_a_joint_scale_is_a_power(seed, T, alpha, scale):
    gram = random_gram(seed, T)
    expected = fair_point(gram, alpha)[0] * scale ** (-alpha / (1 + alpha))
    np.testing.assert_allclose(fair_point(gram * scale, alpha)[0], expected, 1e-7)


def test_nash_weights_go_with_the_inverse_root_of_the_gram_matrix():
    gram = torch.from_numpy(random_gram(0, 6))
    torch.testing.assert_close(Nash()(gram * 100), Nash()(gram) / 10)


@given(SEEDS, st.integers(1, 30), st.sampled_from([1.0, 2.0]))
def test_norms_that_span_twelve_orders_do_not_hurt(seed, T, alpha):
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(T, 60)) + 0.2) * 10 ** rng.uniform(-6, 6, size=(T, 1))
    weights, reported, _ = fair_point(vectors @ vectors.T, alpha)
    assert (weights > 0).all()
    assert reported <= 1e-8  # (Gw)_t is a difference of large numbers


@given(SEEDS, st.integers(2, 10))
def test_rescaling_a_task_leaves_nashs_update(seed, T):
    gram = random_gram(seed, T)
    factors = 10 ** np.random.default_rng(seed).uniform(-3, 3, size=T)
    scaled = fair_point(gram * factors * factors[:, None], 1.0)[0]
    np.testing.assert_allclose(scaled * factors, fair_point(gram, 1.0)[0], 1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_the_number_of_tasks_may_be_a_hundred(alpha):
    weights, reported, iterations = fair_point(random_gram(0, 100, d=300), alpha)
    assert reported <= 1e-10
    assert iterations <= 15
    assert len(weights) == 100


@given(SEEDS, ALPHAS)
def test_a_warm_start_leads_to_the_same_point(seed, alpha):
    gram = random_gram(seed, 8)
    start = np.random.default_rng(seed).uniform(1e-3, 1e3, size=8)
    np.testing.assert_allclose(fair_point(gram, alpha, start=start)[0], fair_point(gram, alpha)[0], 1e-7)
    again = fair_point(gram, alpha, start=fair_point(gram, alpha)[0])
    assert again[2] <= 1


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-0.99, 0.99))
def test_two_tasks_in_closed_form(a, b, cosine):
    # w_1^2 ||g_1||^2 (1 + c) = 1, likewise for the other: both gain alike in units of their norms.
    gram = np.array([[a * a, a * b * cosine], [a * b * cosine, b * b]])
    expected = np.array([1 / a, 1 / b]) / math.sqrt(1 + cosine)
    np.testing.assert_allclose(fair_point(gram, 1.0)[0], expected, 1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_nash_maximizes_the_product_of_gains(seed):
    vectors = np.random.default_rng(seed).normal(size=(4, 6)) + 0.5
    found = minimize(  # log-sum of gains of an update of length sqrt(T), over directions in R^d
        lambda d: -np.log(np.maximum(vectors @ (d / np.linalg.norm(d)), 1e-12)).sum(),
        np.linalg.pinv(vectors) @ np.ones(4),  # all gain alike
        method="BFGS",
        options={"gtol": 1e-9},
    )
    weights = Nash()(torch.from_numpy(vectors @ vectors.T)).numpy()
    update = weights @ vectors
    np.testing.assert_allclose(update / 2.0, found.x / np.linalg.norm(found.x), atol=1e-5)
    assert np.linalg.norm(update) == pytest.approx(2.0)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "vectors",
    [
        np.array([[1.0, 0.0], [-1.0, 0.0]]),
        np.array([[0.1, 0.0], [-10.0, 0.0]]),
        np.array([[1.0, 0.0], [-0.5, math.sqrt(0.75)], [-0.5, -math.sqrt(0.75)]]),
        np.random.default_rng(0).normal(size=(40, 5)),
    ],
)
def test_zero_inside_the_hull_gives_finite_weights_and_a_small_update(alpha, vectors):
    gram = vectors @ vectors.T
    weights, _, _ = fair_point(gram, alpha)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
    longest = (weights * np.linalg.norm(vectors, axis=1)).max()
    assert np.linalg.norm(weights @ vectors) <= 1e-2 * longest


def test_opposite_gradients_of_very_different_norms_cancel():
    gram = np.array([[1e-12, -1.0], [-1.0, 1e12]])
    weights, _, _ = fair_point(gram, 1.0)
    assert weights[0] * 1e-6 == pytest.approx(weights[1] * 1e6)


def test_an_indefinite_matrix_of_rounded_products_gives_finite_weights():
    gram = np.array([[1.0, -1.0 - 1e-4], [-1.0 - 1e-4, 1.0]])
    for alpha in (0.5, 1.0, 2.0):
        weights = fair_point(gram, alpha)[0]
        assert np.isfinite(weights).all()
        assert (weights > 0).all()


def test_nearly_parallel_gradients():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=50) + 1e-7 * rng.normal(size=(10, 50))
    assert fair_point(vectors @ vectors.T, 1.0)[1] <= 1e-10


@pytest.mark.parametrize("weighting", [Nash(), FairGrad()])
def test_a_zero_gradient_weighs_nothing_and_changes_nothing(weighting):
    gram = torch.from_numpy(random_gram(0, 4))
    expected = weighting(gram[:3, :3])
    gram[3], gram[:, 3] = 0, 0
    weights = weighting(gram)
    torch.testing.assert_close(weights[:3], expected)
    assert weights[3] == 0
    assert weighting(torch.zeros(2, 2)).tolist() == [0, 0]


def test_fairgrad_at_alpha_one_is_nash():
    gram = torch.from_numpy(random_gram(3, 7))
    torch.testing.assert_close(FairGrad(alpha=1.0)(gram), Nash()(gram))


def test_max_norm_shortens_the_update_and_only_shortens():
    gram = torch.from_numpy(random_gram(0, 5))
    free, short, roomy = Nash()(gram), Nash(max_norm=1.0)(gram), Nash(max_norm=10.0)(gram)
    assert float(free @ gram @ free) == pytest.approx(5)
    assert float(short @ gram @ short) == pytest.approx(1)
    torch.testing.assert_close(short, free / math.sqrt(5))
    torch.testing.assert_close(roomy, free)


def test_weights_are_kept_between_solutions():
    grams = [torch.from_numpy(random_gram(seed, 4)) for seed in range(4)]
    weighting = Nash(every=3)
    weights = [weighting(gram) for gram in grams]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)
    torch.testing.assert_close(weights[2], weights[0], rtol=0, atol=0)
    torch.testing.assert_close(weights[3], Nash()(grams[3]))
    torch.testing.assert_close(weighting(grams[0][:3, :3]), Nash()(grams[0][:3, :3]))  # another T: solved at once


def test_kept_weights_are_clipped_with_the_present_gram_matrix():
    gram = torch.from_numpy(random_gram(0, 4))
    weighting = Nash(max_norm=1.0, every=5)
    weighting(gram)
    later = weighting(gram * 9)
    assert float(later @ (gram * 9) @ later) == pytest.approx(1)


def test_kept_weights_go_by_name_and_a_new_task_is_solved_for():
    tasks = ("a", "b", "c")
    gram = torch.from_numpy(random_gram(0, 3))
    weighting = Nash(every=10)
    first = weighting.weigh(Step(tasks, tasks, gram))
    torch.testing.assert_close(weighting.weigh(Step(tasks, ("a", "c"), torch.eye(2).double())), first[[0, 2]])
    other = Nash(every=10)
    other.weigh(Step(tasks, ("a", "b"), gram[:2, :2]))
    torch.testing.assert_close(other.weigh(Step(tasks, ("b", "c"), gram[1:, 1:])), Nash()(gram[1:, 1:]))


def test_nothing_that_is_held_travels_in_the_state():
    weighting = Nash(every=2)
    weighting(torch.eye(3))
    assert weighting.state_dict() == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Nash(max_norm=0.0), "max_norm=0.0, expected a positive finite number"),
        (lambda: Nash(every=0), "every=0, expected a whole number of at least 1"),
        (lambda: FairGrad(alpha=0.0), "alpha=0.0, expected a positive finite number"),
        (lambda: fair_point(np.eye(2), math.inf), "alpha=inf, expected a positive finite number"),
    ],
)
def test_bad_options_get_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
