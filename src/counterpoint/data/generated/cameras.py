"""A pinhole camera above level ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks ahead and down.

    The level frame has its origin at the camera: x right, y down, z ahead, y along gravity; the ground is the plane
    y = ``height``. The camera's frame is that frame tilted down about x by ``pitch``: z is the optical axis.

    Attributes:
        height: Above the ground, in metres.
        pitch: In radians, positive when it looks down.
        focal: Focal length in pixels.
        rows: Height of the image in pixels.
        columns: Width of the image in pixels; the axis goes through the image's middle.

    Example:
        >>> camera = Camera(height=1.5, pitch=0.0, focal=60.0, rows=48, columns=64)
        >>> camera.project(np.array([[0.5, 1.5, 6.0]])).tolist()  # (row, column); pixel (0, 0) has its middle at (0, 0)
        [[38.5, 36.5]]
    """

    height: float
    pitch: float
    focal: float
    rows: int
    columns: int

    @property
    def axes(self) -> Array:
        """[3, 3], whose columns are the camera's x, y and z in the level frame."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])

    def rays(self) -> Array:
        """[rows, columns, 3]: the direction of each pixel's middle in the camera's frame, with z = 1.

        A ray times a depth is therefore the point at that depth.
        """
        y, x = np.mgrid[: self.rows, : self.columns].astype(np.float64)
        across, down = (x - (self.columns - 1) / 2) / self.focal, (y - (self.rows - 1) / 2) / self.focal
        return np.stack([across, down, np.ones_like(x)], axis=-1)

    def project(self, points: Array) -> Array:
        """Where points of the level frame appear.

        Args:
            points: [N, 3] in metres, all in front of the camera.

        Returns:
            [N, 2], row and column in pixels; pixel (0, 0) has its middle at (0, 0).
        """
        seen = points @ self.axes
        across = seen[:, :2] / seen[:, 2:] * self.focal
        return across[:, ::-1] + [(self.rows - 1) / 2, (self.columns - 1) / 2]
