"""The min-norm point is exact on every kind of Gram matrix, and says so itself."""

from fractions import Fraction

import numpy as np
import pytest
import quadprog
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import MinNormPoint, min_norm_point
from counterpoint.balancing.interior_point import interior_point

EPS = np.finfo(float).eps


def gradients(kind: str, T: int, seed: int) -> np.ndarray:
    """Task gradients that break solvers, each in its own way."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(T, 4096))
    scales = {"1e3": 10 ** rng.uniform(-1.5, 1.5, (T, 1)), "1e6": 10 ** rng.uniform(-3, 3, (T, 1))}
    low = rng.normal(size=(T, max(2, 3 * T // 4)))
    border = rng.normal(size=(T, max(1, T // 2)))  # half the dimension: zero is about to enter the hull (Wendel 1962)
    pairs = np.repeat(wide[: (T + 1) // 2], 2, axis=0)[:T]
    return {
        "independent": wide,
        "scaled 1e3": wide * scales["1e3"],
        "scaled 1e6": wide * scales["1e6"],
        "correlated": wide + rng.normal(size=4096),
        "correlated 1e6": (wide + rng.normal(size=4096)) * scales["1e6"],
        "nearly cancelling": wide - 0.98 * wide.mean(0),
        "cancelling": wide - wide.mean(0),
        "rank-deficient": low,
        "rank-deficient 1e6": low * scales["1e6"],
        "border": border,
        "border 1e6": border * scales["1e6"],
        "border sparse": rng.normal(size=(T, T // 2 + 1)) * (rng.random((T, T // 2 + 1)) < 0.3),
        "border integer": rng.integers(-1, 2, size=(T, T // 2 + 1)).astype(float),
        "zero inside": rng.normal(size=(T, max(1, T // 4))),
        "duplicates": pairs,
        "near-duplicates": pairs + 1e-7 * rng.normal(size=pairs.shape),
        "duplicates 1e6": pairs * scales["1e6"],
        "opposites": np.concatenate([wide[:, :50], -wide[:, :50]])[:T],
        "one direction": np.abs(rng.normal(size=(T, 1))) * rng.normal(size=(1, 20)),
    }[kind]


KINDS = [
    "independent",
    "scaled 1e3",
    "scaled 1e6",
    "correlated",
    "correlated 1e6",
    "nearly cancelling",
    "cancelling",
    "rank-deficient",
    "rank-deficient 1e6",
    "border",
    "border 1e6",
    "border sparse",
    "border integer",
    "zero inside",
    "duplicates",
    "near-duplicates",
    "duplicates 1e6",
    "opposites",
    "one direction",
]


def gram_of(vectors: np.ndarray) -> np.ndarray:
    gram = vectors @ vectors.T
    return 0.5 * (gram + gram.T)


def exact_gap(gram: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """w'Gw and the duality gap in extended precision, so that rounding does not flatter the solver."""
    wide, w = gram.astype(np.longdouble), weights.astype(np.longdouble)
    slopes = wide @ w
    return float(w @ slopes), float(w @ slopes - slopes.min())


def assert_optimal(gram: np.ndarray, point: MinNormPoint) -> None:
    weights = np.asarray(point.weights)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    squared, gap = exact_gap(gram, weights)
    norms = np.sqrt(gram.diagonal())
    # What changes of the weights by one rounding do to G w, no fp64 weights can do better; where norms span six orders
    # of magnitude and G is rank-deficient, the rounding of G itself is amplified.
    rounding = (8 if norms.max() < 1e4 * norms.min() else 100) * EPS * norms.max() * (weights @ norms)
    assert gap <= max(1e-9 * squared, rounding)
    assert point.gap == pytest.approx(gap, abs=rounding)
    assert point.norm_squared == pytest.approx(squared, rel=1e-9, abs=rounding)


@pytest.mark.traced(30)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", [3, 5, 10, 40, 100])
def test_gap_is_certified_on_every_kind_of_gram_matrix(kind, T):
    for seed in range(6 if T < 100 else 3):
        gram = gram_of(gradients(kind, T, seed))
        assert_optimal(gram, min_norm_point(gram))


@pytest.mark.traced(3)
@pytest.mark.parametrize("kind", ["border", "border sparse", "border integer"])
@pytest.mark.parametrize("T", [8, 12, 20])
def test_gap_is_certified_where_zero_lies_on_the_border_of_the_hull(kind, T):
    """Where active-set methods cycle: many problems, because one in two hundred needs the last resort."""
    for seed in range(150):
        vectors = gradients(kind, T, seed)
        vectors = vectors[np.linalg.norm(vectors, axis=1) > 0]
        assert_optimal(gram_of(vectors), min_norm_point(gram_of(vectors)))


@pytest.mark.parametrize("kind", ["independent", "scaled 1e3", "correlated", "rank-deficient", "nearly cancelling"])
@pytest.mark.parametrize("T", [2, 3, 12, 40])
def test_agrees_with_quadprog(kind, T):
    gram = gram_of(gradients(kind, T, seed=7))
    norms = np.sqrt(gram.diagonal())
    # In scaled variables, where quadprog is reliable; the small ridge makes its Cholesky factorization possible.
    constraints = np.column_stack([norms.min() / norms, np.eye(T)])
    scaled = gram / norms / norms[:, None] + 1e-13 * np.eye(T)
    v = quadprog.solve_qp(scaled, np.zeros(T), constraints, np.eye(T + 1)[0], meq=1)[0]
    oracle = np.maximum(v, 0) / norms
    oracle /= oracle.sum()
    ours = np.asarray(min_norm_point(gram).weights)
    assert ours @ gram @ ours <= (oracle @ gram @ oracle) * (1 + 1e-9)
    assert ours @ gram @ ours == pytest.approx(oracle @ gram @ oracle, rel=1e-6)


def test_the_certificate_is_true_in_rational_arithmetic():
    gram = gram_of(gradients("scaled 1e3", 6, seed=3))
    point = min_norm_point(gram)
    exact = [[Fraction(x) for x in row] for row in gram.tolist()]
    w = [Fraction(x) for x in point.weights.tolist()]
    slopes = [sum(x * y for x, y in zip(row, w, strict=True)) for row in exact]
    squared = sum(x * y for x, y in zip(w, slopes, strict=True))
    assert float(squared - min(slopes)) <= 1e-9 * float(squared)


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e3]), st.floats(-2, 2))
def test_two_tasks_in_closed_form(seed, scale, mix):
    a, b = np.random.default_rng(seed).normal(size=(2, 5))
    gram = gram_of(np.stack([a, scale * (b + mix * a)]))
    point = min_norm_point(gram)
    assert point.iterations == 0
    assert_optimal(gram, point)


def test_two_tasks_are_clipped_to_vertices_and_nothing_softer():
    assert min_norm_point(np.array([[1.0, 2.0], [2.0, 9.0]])).weights.tolist() == [1.0, 0.0]
    assert min_norm_point(np.array([[9.0, 2.0], [2.0, 1.0]])).weights.tolist() == [0.0, 1.0]
    assert min_norm_point(np.array([[4.0, 4.0], [4.0, 4.0]])).weights.tolist() == [0.5, 0.5]
    tiny = min_norm_point(np.diag([1e-6, 1e6])).weights
    assert tiny[1] == pytest.approx(1e-12)


@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from(KINDS))
def test_permuting_tasks_permutes_weights(seed, T, kind):
    gram = gram_of(gradients(kind, T, seed))
    order = np.random.default_rng(seed).permutation(T)
    weights = min_norm_point(gram).weights
    permuted = min_norm_point(gram[np.ix_(order, order)]).weights
    if kind == "near-duplicates":  # the two copies may share their weight differently within the certified gap
        assert permuted @ gram[np.ix_(order, order)] @ permuted == pytest.approx(weights @ gram @ weights, rel=1e-9)
    else:
        np.testing.assert_allclose(permuted, weights[order], atol=1e-4)


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(-80, 80))
def test_a_common_scale_of_the_gradients_does_not_matter(seed, T, exponent):
    gram = gram_of(gradients("scaled 1e3", T, seed))
    np.testing.assert_allclose(min_norm_point(gram * 2.0**exponent).weights, min_norm_point(gram).weights, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", [5, 40])
def test_a_start_changes_the_work_not_the_answer(kind, T):
    gram = gram_of(gradients(kind, T, seed=1))
    cold = min_norm_point(gram)
    warm = min_norm_point(gram, start=cold.weights)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-5)
    assert warm.iterations <= cold.iterations
    misled = min_norm_point(gram, start=np.eye(T)[0])
    assert_optimal(gram, misled)


def test_a_zero_gradient_takes_all_the_weight():
    vectors = gradients("independent", 4, 0)
    vectors[2] = 0
    point = min_norm_point(gram_of(vectors))
    assert point.weights.tolist() == [0, 0, 1, 0]
    assert point.norm_squared == point.gap == 0
    vectors[0] = 0
    assert min_norm_point(gram_of(vectors)).weights.tolist() == [0.5, 0, 0.5, 0]


def test_one_task_weighs_one():
    assert min_norm_point(np.array([[3.0]])).weights.tolist() == [1.0]


def test_duplicates_share_their_weight():
    a, b = np.random.default_rng(0).normal(size=(2, 50))
    weights = min_norm_point(gram_of(np.stack([a, a, b]))).weights
    assert weights[0] == pytest.approx(weights[1], rel=1e-4)


def test_inner_products_of_low_precision_still_get_an_answer():
    """Rounding to fp32 makes rank-deficient Gram matrices slightly indefinite."""
    vectors = gradients("rank-deficient", 40, 0).astype(np.float32)
    vectors = np.repeat(vectors, 2, axis=0)
    gram = (vectors @ vectors.T).astype(float)
    point = min_norm_point(gram)
    assert point.gap <= 1e-5 * gram.diagonal().max()


@pytest.mark.parametrize("size", [1e-295, 1e-150, 1e150, 1e305])
@pytest.mark.parametrize("T", [2, 3, 6])
def test_extreme_sizes_are_scaled_first(size, T):
    weights = min_norm_point(size * np.diag(np.arange(1.0, T + 1))).weights
    np.testing.assert_allclose(weights, min_norm_point(np.diag(np.arange(1.0, T + 1))).weights, rtol=1e-9)


def test_a_start_may_be_a_tensor_and_has_to_fit():
    gram = gram_of(gradients("independent", 4, 0))
    start = torch.full((4,), 0.25, requires_grad=True)
    np.testing.assert_allclose(min_norm_point(gram, start=start).weights, min_norm_point(gram).weights, rtol=1e-9)
    with pytest.raises(ValueError, match=r"start has shape \[3\], expected \[4\]"):
        min_norm_point(gram, start=np.ones(3))


def test_tensor_in_tensor_out_array_in_array_out():
    gram = gram_of(gradients("independent", 3, 0))
    point = min_norm_point(torch.from_numpy(gram).float())
    assert point.weights.dtype == torch.float64
    np.testing.assert_allclose(point.weights.numpy(), min_norm_point(gram).weights, rtol=1e-5)


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        (np.ones((2, 3)), r"shape \[2, 3\], expected a square matrix"),
        (np.ones((0, 0)), r"expected a square matrix \[T, T\] with T >= 1"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN or infinity"),
        (np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]), "not positive semidefinite"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive semidefinite"),
        (np.array([[1.0, -0.9, -0.9], [-0.9, 1.0, -0.9], [-0.9, -0.9, 1.0]]), "not positive semidefinite"),
        (np.array([[1.0, 0.5], [0.1, 1.0]]), "not symmetric"),
    ],
)
def test_what_is_no_gram_matrix_is_refused_in_one_line(gram, message):
    with pytest.raises(ValueError, match=message) as caught:
        min_norm_point(gram)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_interior_point_satisfies_the_optimality_conditions(seed, T):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(T, T + 3))
    matrix = gram_of(half / np.linalg.norm(half, axis=1, keepdims=True)) + 1e-8 * np.eye(T)
    linear = rng.uniform(0.01, 1, T)
    v, r, _ = interior_point(matrix, linear)
    assert v.min() > 0
    assert r.min() > 0
    np.testing.assert_allclose(matrix @ v - linear, r, atol=1e-9)
    assert (v * r).max() < 1e-9
