"""Ray casting: what each pixel of a scene shows, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.shading import FIRST_THING, FIRST_WALL, GROUND, colors_of
from counterpoint.data.generated.views import CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from counterpoint.data.generated.views import Thing, View, Wall

    Array = NDArray[np.float64]
    Window = tuple[slice, slice]

_GROUND, _WALL, _SKY = (CLASSES.index(name) for name in ("ground", "wall", "sky"))
_WHOLE = (slice(None), slice(None))


@dataclass(frozen=True, eq=False)
class Rendered:
    """An image with what is known about each of its pixels.

    Attributes:
        image: uint8 [H, W, 3].
        surface: int8 [H, W]: 0 sky, 1 ground, 2 and 3 walls, 4 and up the things in their order.
        labels: int8 [H, W], classes by index in ``CLASSES``.
        depth: [H, W], along the optical axis in metres; NaN in the sky.
        normals: [H, W, 3], unit vectors of the camera's frame that face the camera; NaN in the sky.
    """

    image: NDArray[np.uint8]
    surface: NDArray[np.int8]
    labels: NDArray[np.int8]
    depth: Array
    normals: Array


class _Nearest:
    """The nearest surface of each pixel so far; sky at first."""

    def __init__(self, view: View) -> None:
        rows, columns = view.camera.rows, view.camera.columns
        # In the level frame, of such length that their multiples are depths.
        self.rays: Array = view.camera.rays() @ view.camera.axes.T
        self.depth = np.full((rows, columns), np.inf)
        self.normals = np.full((rows, columns, 3), np.nan)
        self.surface = np.zeros((rows, columns), dtype=np.int8)
        self.labels = np.full((rows, columns), _SKY, dtype=np.int8)

    def put(self, window: Window, depth: Array, normals: Array, surface: int, label: int) -> None:
        """Puts a surface into the pixels of a window where it is nearer than what was there.

        Args:
            window: Rows and columns.
            depth: [h, w], of the window's pixels; infinite where they do not see it.
            normals: [h, w, 3] or [3], in the level frame.
            surface: Its number.
            label: Its class.
        """
        nearer = depth < self.depth[window]
        np.copyto(self.depth[window], depth, where=nearer)
        np.copyto(self.normals[window], normals, where=nearer[..., None])
        np.copyto(self.surface[window], np.int8(surface), where=nearer)
        np.copyto(self.labels[window], np.int8(label), where=nearer)


def render(view: View, rng: np.random.Generator) -> Rendered:
    """Casts one ray through the middle of each pixel.

    Args:
        view: The scene.
        rng: Of the image's noise.
    """
    nearest = _Nearest(view)
    _put_ground(nearest, view)
    for number, wall in enumerate(view.walls):
        _put_wall(nearest, view, wall, FIRST_WALL + number)
    for number, thing in enumerate(view.things):
        _put_thing(nearest, view, thing, FIRST_THING + number)
    image = colors_of(view, nearest.rays, nearest.depth, nearest.normals, nearest.surface)
    noisy = image + view.noise * rng.standard_normal(image.shape, dtype=np.float32)
    depth = np.where(np.isfinite(nearest.depth), nearest.depth, np.nan)
    return Rendered(
        np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8),
        nearest.surface,
        nearest.labels,
        depth,
        nearest.normals @ view.camera.axes,
    )


def _put_ground(nearest: _Nearest, view: View) -> None:
    down = nearest.rays[..., 1]
    depth = np.where(down > 0, view.camera.height / np.maximum(down, 1e-12), np.inf)
    nearest.put(_WHOLE, depth, np.array([0.0, -1.0, 0.0]), GROUND, _GROUND)


def _put_wall(nearest: _Nearest, view: View, wall: Wall, surface: int) -> None:
    towards = nearest.rays @ wall.normal
    depth = wall.distance / np.maximum(towards, 1e-12)
    reached = (towards > 0) & (depth * nearest.rays[..., 1] >= view.camera.height - wall.height)
    nearest.put(_WHOLE, np.where(reached, depth, np.inf), -wall.normal, surface, _WALL)


def _put_thing(nearest: _Nearest, view: View, thing: Thing, surface: int) -> None:
    window = _window(view, thing)
    rays = nearest.rays[window]
    depth, normals = thing.solid.hit(-thing.place @ thing.axes, rays.reshape(-1, 3) @ thing.axes)
    shape = rays.shape[:2]
    nearest.put(window, depth.reshape(shape), (normals @ thing.axes.T).reshape(*shape, 3), surface, thing.label)


def _window(view: View, thing: Thing) -> Window:
    """Rows and columns that a box around the thing covers; only they can show it."""
    places = view.camera.project(thing.corners)
    low, high = np.floor(places.min(axis=0)).astype(int), np.ceil(places.max(axis=0)).astype(int) + 1
    low, high = np.maximum(low, 0), np.maximum(high, 0)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
