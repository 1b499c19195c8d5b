"""Solids that stand on the ground, and where rays meet them, in closed form.

Each has its own frame: origin in the middle of its base, x and z level, y down, so that it fills heights -height to 0.
All of them are met from outside and from above the ground; what only a ray from below would meet (a base) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Solid(Protocol):
    """What a scene needs to know of a solid."""

    @property
    def reach(self) -> float:
        """Half the side of a level square that contains it, in metres."""
        ...

    @property
    def height(self) -> float:
        """In metres."""
        ...

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """Where rays meet it first.

        Args:
            origin: [3], where all rays start.
            rays: [N, 3], directions of any length.

        Returns:
            [N] multiples of the directions, infinite where it is missed, and [N, 3] outward unit normals there.
        """
        ...


@dataclass(frozen=True)
class Sphere:
    """A ball that lies on the ground.

    Example:
        >>> distance, normal = Sphere(1.0).hit(np.array([0.0, -1.0, -3.0]), np.array([[0.0, 0.0, 1.0]]))
        >>> distance.tolist(), normal.tolist()
        ([2.0], [[0.0, 0.0, -1.0]])
    """

    radius: float

    @property
    def reach(self) -> float:
        """The radius."""
        return self.radius

    @property
    def height(self) -> float:
        """The diameter."""
        return 2 * self.radius

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """See :meth:`Solid.hit`."""
        start = origin + np.array([0.0, self.radius, 0.0])
        near, _ = _roots((rays * rays).sum(1), rays @ start, float(start @ start) - self.radius**2)
        return near, (start + _finite(near)[:, None] * rays) / self.radius


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder."""

    radius: float
    height: float

    @property
    def reach(self) -> float:
        """The radius."""
        return self.radius

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """See :meth:`Solid.hit`."""
        level, start = rays[:, ::2], origin[::2]
        side, _ = _roots((level * level).sum(1), level @ start, float(start @ start) - self.radius**2)
        side = np.where(_within(origin[1] + _finite(side) * rays[:, 1], self.height), side, np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            top = (-self.height - origin[1]) / rays[:, 1]
            across = start + top[:, None] * level
            top = np.where((top > 0) & ((across * across).sum(1) <= self.radius**2), top, np.inf)
        first = np.minimum(side, top)
        point = origin + _finite(first)[:, None] * rays
        normals = np.where((top < side)[:, None], [0.0, -1.0, 0.0], point * [1, 0, 1] / self.radius)
        return first, normals


@dataclass(frozen=True)
class Cone:
    """An upright cone."""

    radius: float
    height: float

    @property
    def reach(self) -> float:
        """The radius of the base."""
        return self.radius

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """See :meth:`Solid.hit`."""
        # x^2 + z^2 = slope^2 (y + height)^2, of which the half below the apex counts.
        slope = self.radius / self.height
        metric = np.array([1.0, -(slope**2), 1.0])
        start = origin + np.array([0.0, self.height, 0.0])
        roots = _roots((rays * rays) @ metric, rays @ (metric * start), float((start * start) @ metric))
        first = np.full(len(rays), np.inf)
        for root in roots:
            inside = _within(origin[1] + _finite(root) * rays[:, 1], self.height)
            first = np.where(inside & (root > 0) & (root < first), root, first)
        point = start + _finite(first)[:, None] * rays
        normals = point * metric
        return first, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Box:
    """An upright box with sides along x and z."""

    width: float
    depth: float
    height: float

    @property
    def reach(self) -> float:
        """Half the longer side."""
        return max(self.width, self.depth) / 2

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """See :meth:`Solid.hit`."""
        faces = np.array([[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0], [0, 1, 0]], dtype=np.float64)
        half = [self.width / 2, self.depth / 2]
        return _enter(faces, np.array([half[0], half[0], half[1], half[1], self.height, 0.0]), origin, rays)


@dataclass(frozen=True)
class Pyramid:
    """An upright pyramid on a square with sides along x and z."""

    width: float
    height: float

    @property
    def reach(self) -> float:
        """Half a side of the base."""
        return self.width / 2

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """See :meth:`Solid.hit`."""
        out, up = np.array([self.height, self.reach]) / np.hypot(self.height, self.reach)
        faces = np.array([[out, -up, 0], [-out, -up, 0], [0, -up, out], [0, -up, -out], [0, 1, 0]])
        return _enter(faces, np.array([up * self.height] * 4 + [0.0]), origin, rays)


def _roots(a: Array, b: Array, c: float) -> tuple[Array, Array]:
    """Both solutions of a t^2 + 2 b t + c = 0; infinite where there is none, or where they are not ahead."""
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0))
    a = np.where(a == 0, 1e-300, a)
    with np.errstate(over="ignore"):
        first, second = (-b - root) / a, (root - b) / a
    return np.where((square >= 0) & (first > 0), first, np.inf), np.where((square >= 0) & (second > 0), second, np.inf)


def _enter(faces: Array, offsets: Array, origin: Array, rays: Array) -> tuple[Array, Array]:
    """Where rays enter a convex polyhedron, the points p with faces @ p <= offsets."""
    speed, room = rays @ faces.T, offsets - faces @ origin
    with np.errstate(divide="ignore", invalid="ignore"):
        times = room / speed
    entered = np.where(speed < 0, times, -np.inf)
    left = np.where(speed > 0, times, np.inf).min(axis=1)
    face = entered.argmax(axis=1)
    first = np.take_along_axis(entered, face[:, None], axis=1)[:, 0]
    # A ray along a face never crosses it: it is on the inner side all the way, or on the outer one.
    met = (first > 0) & (first <= left) & ~((speed == 0) & (room < 0)).any(axis=1)
    return np.where(met, first, np.inf), faces[face]


def _within(y: Array, height: float) -> NDArray[np.bool_]:
    return (y <= 0) & (y >= -height)


def _finite(times: Array) -> Array:
    return np.where(np.isfinite(times), times, 0.0)
