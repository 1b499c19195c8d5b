"""What is to be seen in one generated scene, drawn at random."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.cameras import Camera
from counterpoint.data.generated.solids import Box, Cone, Cylinder, Pyramid, Sphere
from counterpoint.data.generated.textures import Texture, draw_texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from counterpoint.data.generated.solids import Solid

    Array = NDArray[np.float64]

CLASSES = ("ground", "wall", "sky", "sphere", "box", "cylinder", "cone", "pyramid")
FIRST_SOLID = CLASSES.index("sphere")

# A solid's corner lies this much further out than its reach.
_DIAGONAL = float(np.sqrt(2))
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 0) for z in (-1, 1)], dtype=np.float64)
_GAP = 0.05  # metres between solids
_FEWEST = 3
# Where there is little room, fewer things than wanted will do, but three there are.
_TRIES, _MANY_TRIES = 40, 2_000
# Spread of a solid's hue around that of its class, in turns; classes lie a fifth of a turn apart.
_HUE_SPREAD = 0.13


@dataclass(frozen=True, eq=False)
class Wall:
    """An upright plane of endless length, the points P of the level frame with normal . P = distance.

    Attributes:
        normal: [3], level, away from the camera.
        distance: From the camera, in metres.
        height: Above the ground, in metres.
        texture: Of points in the level frame.
    """

    normal: Array
    distance: float
    height: float
    texture: Texture


@dataclass(frozen=True, eq=False)
class Thing:
    """A solid in its place.

    Attributes:
        label: Its class.
        solid: Its form.
        place: [3], the middle of its base in the level frame.
        turn: About the upright axis, in radians.
        texture: Of points in its own frame.
    """

    label: int
    solid: Solid
    place: Array
    turn: float
    texture: Texture

    @property
    def axes(self) -> Array:
        """[3, 3], whose columns are the solid's x, y and z in the level frame."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])

    @property
    def corners(self) -> Array:
        """[8, 3], a box around it in the level frame."""
        r, h = self.solid.reach, self.solid.height
        return (_CORNERS * [r, h, r]) @ self.axes.T + self.place


@dataclass(frozen=True, eq=False)
class View:
    """A scene and how it is looked at.

    Attributes:
        camera: Where from.
        ground: Texture of the ground.
        walls: One, or two that meet in a corner.
        things: What stands on the ground.
        light: [3], unit vector of the level frame towards the light.
        ambient: Share of the light that comes from everywhere.
        sky: [2, 3], colours at the top and at the bottom of the image.
        noise: Standard deviation of the image's noise; colours go from 0 to 1.
    """

    camera: Camera
    ground: Texture
    walls: tuple[Wall, ...]
    things: tuple[Thing, ...]
    light: Array
    ambient: float
    sky: Array
    noise: float


def draw_view(rng: np.random.Generator, height: int, width: int) -> View:
    """A random scene for an image of this size."""
    camera = Camera(
        height=rng.uniform(0.9, 2.2),
        pitch=rng.uniform(0.05, 0.4),
        focal=rng.uniform(0.8, 1.1) * width,
        rows=height,
        columns=width,
    )
    walls = _draw_walls(rng, camera)
    azimuth, elevation = rng.uniform(-1.9, 1.9), rng.uniform(0.4, 1.2)
    light = [np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), -np.cos(elevation) * np.cos(azimuth)]
    hue = rng.uniform(0.5, 0.65)
    sky = [hsv_to_rgb(hue, rng.uniform(0.2, 0.6), rng.uniform(0.6, 1)), hsv_to_rgb(hue, 0.1, rng.uniform(0.7, 1))]
    return View(
        camera,
        draw_texture(rng, rng.uniform(), 0.5, (0.6, 2.0)),
        walls,
        _draw_things(rng, camera, walls),
        np.array(light),
        rng.uniform(0.35, 0.6),
        np.array(sky),
        rng.uniform(0.01, 0.05),
    )


def _draw_walls(rng: np.random.Generator, camera: Camera) -> tuple[Wall, ...]:
    corner = rng.uniform() < 0.5
    yaws = [rng.uniform(0.5, 0.9), -rng.uniform(0.5, 0.9)] if corner else [rng.uniform(-0.4, 0.4)]
    # No lower than the camera: nothing behind a wall can be seen over it but the sky.
    height = camera.height + rng.uniform(0.3, 2.0)
    return tuple(
        Wall(
            np.array([np.sin(yaw), 0, np.cos(yaw)]),
            rng.uniform(5.0, 10.0),
            height,
            draw_texture(rng, rng.uniform(), 0.4, (0.5, 2.0)),
        )
        for yaw in yaws
    )


def _draw_things(rng: np.random.Generator, camera: Camera, walls: tuple[Wall, ...]) -> tuple[Thing, ...]:
    """Three to seven solids that overlap neither each other nor a wall."""
    wanted, things = int(rng.integers(_FEWEST, 8)), list[Thing]()
    for attempt in range(_MANY_TRIES):
        far, side, size, tall, flat = rng.uniform(size=5)
        kind = int(rng.integers(len(CLASSES) - FIRST_SOLID))
        solid = _solid(CLASSES[FIRST_SOLID + kind], 0.25 + 0.45 * size, 0.5 + tall, 0.5 + 0.5 * flat)
        ahead = 2.0 + 4.5 * far
        aside = (0.9 * side - 0.45) * ahead * camera.columns / camera.focal
        room = _DIAGONAL * solid.reach + _GAP
        if any(wall.normal[0] * aside + wall.normal[2] * ahead + room > wall.distance for wall in walls):
            continue
        if any(
            hypot(thing.place[0] - aside, thing.place[2] - ahead) < room + _DIAGONAL * thing.solid.reach
            for thing in things
        ):
            continue
        hue = kind / (len(CLASSES) - FIRST_SOLID) + rng.normal() * _HUE_SPREAD
        texture = draw_texture(rng, hue, 1.0, (0.2, 0.8))
        place = np.array([aside, camera.height, ahead])
        things.append(Thing(FIRST_SOLID + kind, solid, place, rng.uniform(0, 2 * np.pi), texture))
        if len(things) == wanted or (attempt >= _TRIES and len(things) >= _FEWEST):
            break
    return tuple(things)


def _solid(name: str, reach: float, height: float, flatness: float) -> Solid:
    if name == "sphere":
        return Sphere(reach)
    if name == "cylinder":
        return Cylinder(0.8 * reach, height)
    if name == "cone":
        return Cone(reach, height)
    if name == "pyramid":
        return Pyramid(2 * reach, height)
    return Box(2 * reach, 2 * reach * flatness, 0.8 * height)
