"""Rays meet solids where implicit functions, sampled along the rays, change sign; normals are their gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.data.generated.solids import Box, Cone, Cylinder, Pyramid, Sphere

from .solid_forms import gradient, signed

SOLIDS = [Sphere(0.6), Cylinder(0.5, 1.2), Cone(0.7, 1.1), Box(1.0, 0.6, 0.8), Pyramid(1.2, 0.9)]
ORIGIN = np.array([0.4, -1.6, -3.0])


def rays(seed, count=400):
    """From above the ground to points around the solids."""
    towards = np.random.default_rng(seed).uniform([-1, -1.5, -1], [1, 0, 1], (count, 3))
    return towards - ORIGIN


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_the_first_point_on_the_surface_is_met(solid):
    ways = rays(0)
    times, normals = solid.hit(ORIGIN, ways)
    met = np.isfinite(times)
    assert 0.1 < met.mean() < 0.95
    # Every other ray, sampled densely: outside all along if it misses, outside up to the hit if it does not.
    samples = np.linspace(0, 2.5, 2501)
    inside = signed(solid, (ORIGIN + samples[:, None, None] * ways).reshape(-1, 3)).reshape(len(samples), -1) < -2e-3
    assert not inside[:, ~met].any()
    assert not (inside & (samples[:, None] < times - 1e-9))[:, met].any()
    points = ORIGIN + times[met, None] * ways[met]
    np.testing.assert_allclose(signed(solid, points), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(normals[met], axis=1), 1, atol=1e-12)
    assert ((normals[met] * ways[met]).sum(axis=1) < 0).all()
    smooth = np.abs((gradient(solid, points) * gradient(solid, points, 1e-3)).sum(axis=1) - 1) < 1e-4  # off the edges
    assert smooth.mean() > 0.8
    np.testing.assert_allclose(normals[met][smooth], gradient(solid, points)[smooth], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SOLIDS), st.floats(0.1, 10), st.integers(0, 100))
def test_longer_rays_arrive_sooner_at_the_same_place(solid, length, seed):
    ways = rays(seed, 50)
    (times, normals), (scaled, same) = solid.hit(ORIGIN, ways), solid.hit(ORIGIN, length * ways)
    np.testing.assert_allclose(scaled * length, times, rtol=1e-9)
    np.testing.assert_allclose(normals[np.isfinite(times)], same[np.isfinite(times)], atol=1e-9)


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_nothing_is_met_behind(solid):
    assert np.isinf(solid.hit(ORIGIN, -rays(1))[0]).all()


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_a_box_of_its_reach_and_height_holds_it(solid):
    points = np.random.default_rng(2).uniform([-2, -3, -2], [2, 1, 2], (20_000, 3))
    inside = points[signed(solid, points) < 0]
    assert len(inside) > 50
    assert (np.abs(inside[:, [0, 2]]) <= solid.reach).all()
    assert ((inside[:, 1] <= 0) & (inside[:, 1] >= -solid.height)).all()


def test_rays_straight_down_and_along_the_level():
    down = np.array([[0.0, 1.0, 0.0]])
    for solid in SOLIDS:
        above = np.array([0.05, -5.0, 0.02])
        times, _ = solid.hit(above, down)
        np.testing.assert_allclose(signed(solid, above + times[:, None] * down), 0, atol=1e-12)
        level = np.array([0.0, -0.3, -4.0])
        times, normals = solid.hit(level, np.array([[0.0, 0.0, 1.0]]))
        np.testing.assert_allclose(signed(solid, level + times[:, None] * [[0.0, 0.0, 1.0]]), 0, atol=1e-12)
        assert normals[0, 2] < 0
