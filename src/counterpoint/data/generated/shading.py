"""Colours of surfaces under one light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from counterpoint.data.generated.views import View

    Array = NDArray[np.float64]
    Floats = NDArray[np.float32]

# Numbers of surfaces: 0 is the sky, then the ground, up to two walls, and the things in their order.
GROUND, FIRST_WALL, FIRST_THING = 1, 2, 4

# What a thing takes of the light on the ground under its middle.
_SHADE = 0.7


def colors_of(view: View, rays: Array, depth: Array, normals: Array, surface: NDArray[np.int8]) -> Floats:
    """The image before noise: texture times ambient and Lambertian light; a gradient in the sky.

    Nothing casts a shadow, but the ground is darker where a thing stands, by a Gaussian as wide as the thing.

    Args:
        view: The scene.
        rays: [H, W, 3], of the level frame, whose multiples by depths are points.
        depth: [H, W], infinite in the sky.
        normals: [H, W, 3], in the level frame.
        surface: [H, W], numbers as above.

    Returns:
        float32 [H, W, 3], not clipped to 0 to 1.
    """
    shape = surface.shape
    fade = np.linspace(0, 1, len(rays))[:, None, None]
    sky = view.sky[0] + fade * (view.sky[1] - view.sky[0])
    # Rows of flat single-precision arrays: half the time, and colours end as bytes.
    image = np.broadcast_to(sky, rays.shape).astype(np.float32).reshape(-1, 3)
    light = (view.ambient + (1 - view.ambient) * np.maximum(normals @ view.light, 0)).astype(np.float32).ravel()
    directions, distance = rays.astype(np.float32).reshape(-1, 3), depth.astype(np.float32).ravel()
    surface = surface.ravel()
    for number in np.flatnonzero(np.bincount(surface)):
        if number < GROUND:
            continue
        seen = np.flatnonzero(surface == number)
        far, lit = distance[seen], light[seen]
        points = directions[seen] * far[:, None]
        if number == GROUND:
            texture = view.ground
            lit = lit * _shade(view, points)
        elif number < FIRST_THING:
            texture = view.walls[number - FIRST_WALL].texture
        else:
            thing = view.things[number - FIRST_THING]
            texture = thing.texture
            points = (points - thing.place.astype(np.float32)) @ thing.axes.astype(np.float32)
        image[seen] = texture.at(points, far / np.float32(view.camera.focal)) * lit[:, None]
    return image.reshape(*shape, 3)


def _shade(view: View, points: Floats) -> Floats:
    """[N], shares of the light that reach points on the ground."""
    left = np.ones(len(points), dtype=np.float32)
    for thing in view.things:
        across, ahead = (points[:, axis] - np.float32(thing.place[axis]) for axis in (0, 2))
        left *= 1 - _SHADE * np.exp(-(across * across + ahead * ahead) / np.float32(thing.solid.reach**2))
    return left
