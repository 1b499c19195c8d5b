"""Inner products of sketches are unbiased, and as far off as their variance says."""

import pytest
import torch

from counterpoint.affinity.sketch import CountSketch

SEEDS = 400


@pytest.fixture(scope="module")
def estimates():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(500, dtype=torch.float64, generator=generator)
    b = torch.randn(500, dtype=torch.float64, generator=generator) + 0.3 * a
    size = 64
    found = []
    for seed in range(SEEDS):
        sketch = CountSketch(size, seed)
        found.append(float(sketch([a[:200], a[200:]]) @ sketch([b[:200], b[200:]])))
    # E of the squared error: buckets collide with probability 1/d, and signs of pairs cancel otherwise.
    bound = (a.square().sum() * b.square().sum() + (a @ b) ** 2) / size
    exact = bound - 2 * (a.square() * b.square()).sum() / size
    return torch.tensor(found, dtype=torch.float64), float(a @ b), float(exact), float(bound)


def test_they_are_unbiased(estimates):
    found, truth, variance, _ = estimates
    assert abs(float(found.mean()) - truth) < 4 * (variance / SEEDS) ** 0.5


def test_their_variance_is_what_the_docstring_says(estimates):
    found, _, variance, bound = estimates
    assert variance < bound
    assert 0.8 < float(found.var()) / variance < 1.25


def test_they_are_linear_and_the_same_every_time():
    sketch, again = CountSketch(16, seed=1), CountSketch(16, seed=1)
    a, b = torch.randn(2, 100, dtype=torch.float64)
    torch.testing.assert_close(sketch([2 * a - b]), 2 * sketch([a]) - again([b]))
    assert not torch.equal(sketch([a]), CountSketch(16, seed=2)([a]))


def test_none_is_zero():
    sketch = CountSketch(16)
    a, b = torch.randn(2, 100)
    zero = torch.zeros_like(a)
    assert torch.equal(sketch([a, None], like=[a, b]), sketch([a, zero]))
    assert not sketch([None, None], like=[a, b]).any()


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="expected a positive integer"):
        CountSketch(size)
