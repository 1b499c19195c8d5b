"""Solids as implicit functions, written apart from the ray casting that they judge."""

import numpy as np

from counterpoint.data.generated.solids import Box, Cone, Cylinder, Pyramid, Sphere


def signed(solid, points):
    """[N], below 0 inside, 0 on the surface, above 0 outside; of points [N, 3] in the solid's own frame (y down)."""
    x, y, z = points.T
    up = -y
    if isinstance(solid, Sphere):
        return np.sqrt(x**2 + (up - solid.radius) ** 2 + z**2) - solid.radius
    ends = np.maximum(-up, up - solid.height)
    if isinstance(solid, Cylinder):
        return np.maximum(np.hypot(x, z) - solid.radius, ends)
    if isinstance(solid, Cone):
        return np.maximum(np.hypot(x, z) - solid.radius * (1 - up / solid.height), ends)
    if isinstance(solid, Pyramid):
        return np.maximum(np.maximum(abs(x), abs(z)) - solid.width / 2 * (1 - up / solid.height), ends)
    assert isinstance(solid, Box)
    return np.maximum(np.maximum(abs(x) - solid.width / 2, abs(z) - solid.depth / 2), ends)


def gradient(solid, points, step=1e-6):
    """[N, 3], unit gradients of the function by central differences."""
    shifts = step * np.eye(3)
    slopes = np.stack([signed(solid, points + s) - signed(solid, points - s) for s in shifts], axis=1)
    return slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
