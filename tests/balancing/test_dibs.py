"""DiBS: its Gram arithmetic is the bargaining in R^d, and it does not see how losses are scaled."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.balancing.weightings.dibs import DiBS

SEEDS = st.integers(0, 10**6)


def random_vectors(seed, T, d=20):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(T, d)))


def bargained_in_space(vectors, steps, radius, size):
    units = vectors / vectors.norm(dim=1, keepdim=True)
    d = torch.zeros(vectors.shape[1], dtype=torch.float64)
    for _ in range(steps):
        d = d - size * sum((d + radius * u).norm() * u for u in units)
        if steps > 1 and d.norm() > radius:
            d = d * (radius / d.norm())
    return d


@given(SEEDS, st.integers(1, 8), st.integers(1, 12), st.floats(0.1, 10), st.one_of(st.none(), st.floats(0.01, 1)))
def test_gram_arithmetic_equals_the_iteration_on_vectors(seed, T, steps, radius, size):
    vectors = random_vectors(seed, T)
    weights = DiBS(steps, radius, size)(vectors @ vectors.T)
    expected = bargained_in_space(vectors, steps, radius, 1 / steps if size is None else size)
    torch.testing.assert_close(-(weights @ vectors), expected, rtol=1e-7, atol=1e-7)


@given(SEEDS, st.integers(1, 10), st.integers(1, 10))
def test_permuting_the_tasks_permutes_the_weights(seed, T, steps):
    vectors = random_vectors(seed, T)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(T))
    gram, weighting = vectors @ vectors.T, DiBS(steps)
    torch.testing.assert_close(weighting(gram[order][:, order]), weighting(gram)[order], rtol=1e-8, atol=1e-8)


@given(SEEDS, st.integers(1, 10), st.integers(1, 10))
def test_rescaling_any_task_leaves_its_weighted_gradient(seed, T, steps):
    vectors = random_vectors(seed, T)
    factors = torch.from_numpy(10 ** np.random.default_rng(seed).uniform(-6, 6, size=T))
    weighting = DiBS(steps)
    scaled = vectors * factors[:, None]
    before = weighting(vectors @ vectors.T)
    after = weighting(scaled @ scaled.T)
    torch.testing.assert_close(after * factors, before, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_joint_scale_of_the_gradients_divides_the_weights(scale, steps):
    vectors = random_vectors(0, 5)
    gram = vectors @ vectors.T
    torch.testing.assert_close(DiBS(steps).forward(gram * scale**2) * scale, DiBS(steps)(gram), rtol=1e-10, atol=0)


def test_two_tasks_by_hand():
    # Unit gradients at a right angle, radius 1, step 1/2. First step: d = -(u + v)/2, inside the ball. Second step:
    # each task is |(1/2, -1/2)| = 1/sqrt(2) away, so a = 1/2 + 1/(2 sqrt(2)), ||a|| > 1, and the ball cuts it.
    gram = torch.tensor([[4.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    a = 1 / math.sqrt(2)
    assert DiBS(steps=2)(gram).tolist() == pytest.approx([a / 2, a])
    assert DiBS(steps=2, radius=3.0)(gram).tolist() == pytest.approx([3 * a / 2, 3 * a])
    assert DiBS(radius=3.0, step_size=0.5)(gram).tolist() == pytest.approx([0.75, 1.5])


@pytest.mark.parametrize("steps", [1, 4])
def test_a_zero_gradient_weighs_nothing_and_changes_nothing(steps):
    vectors = random_vectors(1, 3)
    with_zero = torch.cat([vectors, torch.zeros(1, 20, dtype=torch.float64)])
    weights = DiBS(steps)(with_zero @ with_zero.T)
    torch.testing.assert_close(weights[:3], DiBS(steps)(vectors @ vectors.T))
    assert weights[3] == 0


@pytest.mark.parametrize("steps", [1, 40])
def test_opposite_tasks_cancel(steps):
    gram = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    weights = DiBS(steps)(gram)
    assert float(weights @ gram @ weights) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0, expected a whole number of at least 1"),
        ({"steps": 1.5}, "steps=1.5, expected a whole number"),
        ({"radius": 0.0}, "radius=0.0, expected a positive finite number"),
        ({"radius": math.inf}, "radius=inf, expected a positive finite number"),
        ({"step_size": -1.0}, "step_size=-1.0, expected a positive finite number"),
    ],
)
def test_bad_options_get_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        DiBS(**options)
    assert "\n" not in str(caught.value)
