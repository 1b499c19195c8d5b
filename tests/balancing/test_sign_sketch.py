"""Sketches of gradients: linear, one signed bucket a coordinate, unbiased inner products of known spread."""

import pickle

import pytest
import torch

from counterpoint.balancing import sign_sketch
from counterpoint.balancing.sign_sketch import SIZE, SignSketch


@pytest.fixture
def small(monkeypatch):
    """Stretches of 2 x 7 coordinates."""
    monkeypatch.setattr(sign_sketch, "_ROWS", 2)
    return lambda seed: SignSketch(7, seed)


def matrix(sketch, N):
    """S [d, N], column by column."""
    return torch.stack([sketch([row]) for row in torch.eye(N, dtype=torch.float64)], dim=1)


def test_each_coordinate_goes_to_one_bucket_and_those_of_one_sign_never_meet(small):
    for seed in range(5):
        S = matrix(small(seed), 60)
        assert (S.abs().sum(0) == 1).all()
        buckets = S.abs().argmax(0)
        for position in range(14):
            used_again = buckets[position::14]
            assert len(set(used_again.tolist())) == len(used_again)
        vector = torch.randn(60, dtype=torch.float64)
        torch.testing.assert_close(small(seed)([vector]), S @ vector)


def test_inner_products_are_unbiased_with_the_spread_that_is_stated(small):
    torch.manual_seed(0)
    a, b = torch.randn(2, 60, dtype=torch.float64)
    found = torch.stack([torch.dot(*map(small(seed), ([a], [b]))) for seed in range(500)])
    spread = float(((a @ a) * (b @ b) + (a @ b) ** 2) / 7) ** 0.5
    assert float(found.std()) == pytest.approx(spread, rel=0.2)
    assert abs(float(found.mean() - a @ b)) < 4 * spread / 500**0.5


def test_combinations_keep_their_norms_however_small_they_are():
    torch.manual_seed(0)
    rows = torch.randn(20, 50_000, dtype=torch.float64)
    rows[-1] = -rows[:-1].sum(0) + 1e-4 * torch.randn(50_000, dtype=torch.float64)  # nearly dependent
    S = torch.stack([SignSketch()([row]) for row in rows])
    exact, sketched = (torch.linalg.cholesky(m @ m.T) for m in (rows, S))
    stretch = torch.linalg.svdvals(torch.linalg.solve_triangular(exact, sketched, upper=False))
    distortion = (20 / SIZE) ** 0.5
    assert 1 - 2 * distortion < float(stretch.min()) < float(stretch.max()) < 1 + 2 * distortion


def test_parts_missing_parts_and_dtypes():
    sketch = SignSketch()
    torch.manual_seed(0)
    parts = torch.randn(7000), torch.randn(1, 30).flatten(), torch.randn(2_000_000)
    whole = sketch(parts)
    sizes = [part.numel() for part in parts]
    pieces = [sketch([own if k == j else None for j, own in enumerate(parts)], sizes) for k in range(3)]
    torch.testing.assert_close(whole, sum(pieces), rtol=1e-4, atol=1e-3)
    assert sketch([parts[0].half()]).dtype == torch.float32
    assert sketch([parts[0].double()]).dtype == torch.float64
    assert torch.equal(pickle.loads(pickle.dumps(sketch))(parts), whole)  # noqa: S301
    short = [torch.ones(3), None, torch.arange(2.0)]
    assert sketch(short, [3, 2, 2])[:8].tolist() == [1, 1, 1, 0, 0, 0, 1, 0]
    assert not sketch([torch.tensor([1.0, float("inf")])]).isfinite().all()
    assert not sketch([torch.full((9000,), float("nan"))]).isfinite().all()
