"""Angles and magnitudes, pair by pair."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import MGDA, FanOut, conflict

gradient_sets = st.integers(1, 5).flatmap(
    lambda t: st.lists(st.lists(st.integers(-9, 9), min_size=4, max_size=4), min_size=t, max_size=t)
)


def gram_of(gradients):
    g = np.array(gradients, dtype=float)
    return g @ g.T


def by_hand(gradients):
    cosines, similarities = {}, {}
    for i, a in enumerate(np.array(gradients, dtype=float)):
        for j, b in enumerate(np.array(gradients, dtype=float)):
            na, nb = np.linalg.norm(a), np.linalg.norm(b)
            cosines[i, j] = a @ b / (na * nb) if na * nb else math.nan
            similarities[i, j] = 2 * na * nb / (na**2 + nb**2) if na + nb else math.nan
    return cosines, similarities


@given(gradient_sets)
def test_as_defined(gradients):
    found = conflict(gram_of(gradients))
    cosines, similarities = by_hand(gradients)
    count = len(gradients)
    for (i, j), value in cosines.items():
        assert found.cosines[i, j] == pytest.approx(value, nan_ok=True, abs=1e-12)
        assert found.magnitude_similarity[i, j] == pytest.approx(similarities[i, j], nan_ok=True, abs=1e-12)
    pairs = [value for (i, j), value in cosines.items() if i < j and not math.isnan(value)]
    clear = [value for value in pairs if abs(value) > 1e-9]
    if pairs:
        assert found.mean_cosine == pytest.approx(np.mean(pairs), abs=1e-12)
        assert found.negative_share >= sum(value < 0 for value in clear) / len(pairs) - 1e-12
    else:
        assert math.isnan(found.mean_cosine)
        assert math.isnan(found.negative_share)
    for i in range(count):
        own = [cosines[i, j] for j in range(count) if j != i and not math.isnan(cosines[i, j])]
        assert found.by_task[i] == pytest.approx(np.mean(own) if own else math.nan, nan_ok=True, abs=1e-12)
    alike = [value for (i, j), value in similarities.items() if i < j and not math.isnan(value)]
    mean = np.mean(alike) if alike else math.nan
    assert found.mean_magnitude_similarity == pytest.approx(mean, nan_ok=True)


@given(gradient_sets, st.randoms(), st.floats(1e-6, 1e6))
def test_invariant_to_the_order_of_tasks_and_a_scale(gradients, random, factor):
    found, order = conflict(gram_of(gradients)), list(range(len(gradients)))
    random.shuffle(order)
    other = conflict(factor * gram_of([gradients[i] for i in order]))
    np.testing.assert_allclose(other.cosines, found.cosines[np.ix_(order, order)], atol=1e-9)
    np.testing.assert_allclose(other.by_task, found.by_task[order], atol=1e-9)
    similarity = found.magnitude_similarity[np.ix_(order, order)]
    np.testing.assert_allclose(other.magnitude_similarity, similarity, atol=1e-9)


def test_scaling_one_task_changes_magnitudes_alone():
    gradients = [[1.0, 2.0], [3.0, -1.0], [-2.0, 0.5]]
    scaled = [[10.0, 20.0], *gradients[1:]]
    a, b = conflict(gram_of(gradients)), conflict(gram_of(scaled))
    np.testing.assert_allclose(a.cosines, b.cosines)
    assert (a.negative_share, b.negative_share) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert a.magnitude_similarity[0, 1] > b.magnitude_similarity[0, 1]


def test_absent_tasks_are_left_out():
    gradients = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, -1.0], [-2.0, 0.5]])
    gram = gram_of(gradients)
    gram[1] = gram[:, 1] = np.nan
    found, without = conflict(gram, tasks=list("abcd")), conflict(gram_of(gradients[[0, 2, 3]]))
    assert found.tasks == ("a", "b", "c", "d")
    for name in ("negative_share", "mean_cosine", "mean_magnitude_similarity"):
        assert getattr(found, name) == pytest.approx(getattr(without, name))
    np.testing.assert_allclose(found.by_task[[0, 2, 3]], without.by_task)
    for matrix in (found.cosines, found.magnitude_similarity):
        assert np.isnan(matrix[1]).all()
        assert np.isnan(matrix[:, 1]).all()
    gram[1, 1] = np.inf
    np.testing.assert_array_equal(conflict(gram).cosines, found.cosines)


def test_a_zero_gradient_has_no_direction_but_a_magnitude():
    found = conflict([[4.0, 0.0], [0.0, 0.0]])
    assert np.isnan(found.cosines[:, 1]).all()
    assert found.magnitude_similarity.tolist()[0] == [1.0, 0.0]
    assert math.isnan(found.negative_share)
    assert found.mean_magnitude_similarity == 0.0


def test_one_task_has_no_pairs():
    found = conflict([[4.0]])
    assert found.cosines.tolist() == [[1.0]]
    means = (found.negative_share, found.mean_cosine, found.mean_magnitude_similarity, found.by_task[0])
    assert all(math.isnan(value) for value in means)


def test_norms_of_any_size():
    found = conflict(np.diag([1e-300, 1e300]))
    assert found.magnitude_similarity[0, 1] == pytest.approx(2e-300)
    assert conflict(np.full((2, 2), 1e308)).cosines[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_of_any_precision(dtype):
    gram = torch.tensor([[1.0, -1.0], [-1.0, 4.0]], dtype=dtype, requires_grad=True)
    assert conflict(gram).cosines[0, 1] == pytest.approx(-0.5)


def test_of_the_last_step():
    encoder, fan = torch.nn.Linear(3, 2), FanOut(MGDA(), ["a", "b"])
    z = fan(encoder(torch.ones(4, 3)))
    (z["a"].sum() - z["b"].sum()).backward()
    assert conflict(fan.last.gram, fan.last.tasks).mean_cosine == pytest.approx(-1.0)


def test_the_record_itself_will_do_and_what_has_no_products_is_told_in_one_line():
    fan = FanOut(MGDA(), ["a", "b"])
    with pytest.raises(
        TypeError, match=r"gram is None, as fan\.last is before the first backward pass, expected real inn"
    ):
        conflict(fan.last)
    z = fan(torch.ones(3, 2, requires_grad=True))
    (z["a"].sum() - 2 * z["b"].sum()).backward()
    assert conflict(fan.last).tasks == ("a", "b")
    assert conflict(fan.last, ["c", "d"]).tasks == ("c", "d")
    assert conflict(fan.last).mean_cosine == pytest.approx(-1.0)
    assert conflict(fan.last.gram.to_sparse()).mean_cosine == pytest.approx(-1.0)
    for wrong in (fan, "gram", {"a": 1}, [[1, 2], [3]], np.eye(2) * 1j, torch.eye(2) * 1j):
        with pytest.raises(
            TypeError, match=f"gram is a {type(wrong).__name__}, expected real inner products"
        ) as caught:
            conflict(wrong)
        assert "\n" not in str(caught.value)
