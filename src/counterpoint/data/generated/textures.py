"""Two-coloured solid textures: functions of a point in space, so that no surface needs coordinates of its own."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Pattern = Literal["plain", "stripes", "checker", "noise"]

# A pattern finer than this many pixels a period fades into its mean: sampled once a pixel, it would flicker.
_RESOLVED = 4.0
_WAVES = 4
_USED = {"stripes": 1, "checker": 3, "noise": _WAVES}
_TURN = np.float32(2 * np.pi)
# Of plain, stripes, checker, noise: one in ten is plain, the rest is equally likely.
_PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "checker", "noise")
_BOUNDS = (0.1, 0.4, 0.7)


@dataclass(frozen=True, eq=False)
class Texture:
    """A pattern in two colours.

    Attributes:
        pattern: Plain, stripes (planes), checker (cubes), or noise (four random waves).
        colors: [2, 3], red, green and blue from 0 to 1.
        period: In metres.
        waves: [4, 3] directions of the pattern; stripes use the first, the checker the first three.
        phases: [4] in turns.
    """

    pattern: Pattern
    colors: Floats
    period: float
    waves: Floats
    phases: Floats

    def at(self, points: Floats, pixel: Floats) -> Floats:
        """Colours of points.

        Args:
            points: [N, 3] in metres, in the surface's own frame.
            pixel: [N], what a pixel covers there, in metres.

        Returns:
            [N, 3] from 0 to 1.
        """
        if self.pattern == "plain":
            return np.broadcast_to(self.colors[0], points.shape)
        mix = self._wave(points) * np.minimum(self.period / _RESOLVED / pixel, 1)
        mean, half = (self.colors[0] + self.colors[1]) / 2, (self.colors[1] - self.colors[0]) / 2
        colors: Floats = mean + mix[:, None] * half
        return colors

    def _wave(self, points: Floats) -> Floats:
        """The pattern from -1 to 1."""
        used = _USED[self.pattern]
        waves: Floats = np.sin(points @ (self.waves[:used] * (_TURN / self.period)).T + self.phases[:used] * _TURN)
        return np.tanh(waves.sum(axis=1)) if self.pattern == "noise" else np.asarray(np.sign(waves.prod(axis=1)))


def draw_texture(rng: np.random.Generator, hue: float, saturation: float, period: tuple[float, float]) -> Texture:
    """A random texture around a hue.

    Args:
        rng: Random numbers.
        hue: In turns; the second colour lies up to a fifth of a turn away from it.
        saturation: The most that colours have, from 0 to 1.
        period: The least and the most, in metres.
    """
    pattern = _PATTERNS[int(np.searchsorted(_BOUNDS, rng.uniform()))]
    first, second, apart, dark, bright, swap, scale = rng.uniform(size=7)
    hues = hue % 1, (hue + 0.4 * apart - 0.2) % 1
    values = 0.35 + 0.25 * dark, 0.65 + 0.35 * bright
    colors = [
        hsv_to_rgb(h, (0.3 + 0.7 * strength) * saturation, value)
        for h, strength, value in zip(hues, (first, second), values if swap < 0.5 else values[::-1], strict=True)
    ]
    directions = rng.standard_normal((_WAVES, 3))
    if pattern == "checker":  # cubes have right angles
        directions[:3] = np.linalg.qr(directions[:3])[0]
    directions /= np.sqrt((directions * directions).sum(axis=1, keepdims=True))
    return Texture(
        pattern,
        np.array(colors, dtype=np.float32),
        period[0] * (period[1] / period[0]) ** scale,
        directions.astype(np.float32),
        rng.uniform(size=_WAVES).astype(np.float32),
    )
