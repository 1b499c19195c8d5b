"""Pixels of an image and of its dense targets, moved together.

Coordinates are (y, x) in pixels, with the centre of pixel 0 at 0.5: they mean the same at every resolution. Images are
interpolated; labels never are: each new pixel takes the value of the pixel that it comes from, so that values of two
objects, or of an object and "unknown", are never mixed. Vectors that live in the picture turn and stretch along.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from counterpoint.data.images.target import ImageTarget

IGNORED = -100


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the pixels of a new picture come from: ``source = back @ new + shift``.

    Attributes:
        back: float64 [2, 2].
        shift: float64 [2].
        turn: float64 [2, 2], the rotation in ``back``, which turns a normal's (y, x) from new to source.
        zoom: How much larger things look: depth is divided by it, disparity multiplied.
    """

    back: Tensor
    shift: Tensor
    turn: Tensor
    zoom: float = 1.0

    @cached_property
    def forth(self) -> Tensor:
        """Takes vectors of the source to the new picture, float64 [2, 2]."""
        forth: Tensor = torch.linalg.inv(self.back)
        return forth

    def sources(self, height: int, width: int, stride: int = 1) -> tuple[Tensor, Tensor]:
        """Where the centres of the new pixels come from, y and x; in pixels ``stride`` times as large.

        Returns:
            Two float64 tensors that broadcast to [H, W]: as y depends on x only in a rotated picture, both may be
            small.
        """
        y = (torch.arange(height, dtype=torch.float64) + 0.5)[:, None]
        x = (torch.arange(width, dtype=torch.float64) + 0.5)[None]
        (yy, yx), (xy, xx) = self.back.tolist()
        down, right = (self.shift / stride).tolist()
        if yx == xy == 0:
            return yy * y + down, xx * x + right
        return yy * y + yx * x + down, xy * y + xx * x + right


def resized_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with antialiasing.

    Args:
        image: uint8 [3, H, W].
        size: New height and width.

    Returns:
        uint8 [3, h, w].
    """
    if tuple(image.shape[-2:]) == size:
        return image
    # In floating point: what uint8 gives depends on the processor's instructions.
    exact = functional.interpolate(image[None].float(), size, mode="bilinear", antialias=True, align_corners=False)[0]
    return exact.round_().clamp_(0, 255).to(torch.uint8)


def resized_target(values: Tensor, target: ImageTarget, size: tuple[int, int]) -> Tensor:
    """The nearest pixel's value; offsets in pixels of the new size, pointing from the new pixel's centre.

    Depth, disparity and normals keep their values: the scene is the same, seen with fewer pixels.

    Args:
        values: [H, W] or [C, H, W], see :class:`ImageTarget`.
        target: What they are.
        size: New height and width.

    Example:
        >>> from counterpoint.data.images.target import ImageTarget
        >>> dy, dx = torch.meshgrid(torch.tensor([-0.5, 0.5]), torch.tensor([-1.5, -0.5, 0.5, 1.5]), indexing="ij")
        >>> resized_target(torch.stack([dy, dx]), ImageTarget("offsets", "offsets"), (1, 2)).tolist()
        [[[0.0, 0.0]], [[-0.5, 0.5]]]
    """
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    back = torch.diag(torch.tensor([height / size[0], width / size[1]], dtype=torch.float64))
    still = torch.eye(2, dtype=torch.float64)
    return moved_target(values, target, Motion(back, torch.zeros(2, dtype=torch.float64), still), size)


def moved_image(image: Tensor, motion: Motion) -> Tensor:
    """Bilinear; black where the source has no pixel.

    Args:
        image: float32 [3, H, W].
        motion: In pixels of the image.
    """
    height, width = image.shape[-2:]
    y, x = motion.sources(height, width)
    across, down = ((2 * own / whole - 1).to(image.dtype) for own, whole in ((x, width), (y, height)))
    grid = torch.stack([across.expand(height, width), down.expand(height, width)], -1)
    new = functional.grid_sample(image[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[
        0
    ]
    return new.masked_fill_(_outside(y, x, height, width), 0.0)


def moved_target(
    values: Tensor, target: ImageTarget, motion: Motion, size: tuple[int, int] | None = None, stride: int = 1
) -> Tensor:
    """The nearest pixel's value, with vectors turned and lengths scaled; missing where the source has no pixel.

    Args:
        values: [H, W] or [C, H, W], see :class:`ImageTarget`.
        target: What they are.
        motion: In pixels of the image.
        size: New height and width, by default the old ones.
        stride: How many of the image's pixels one of the target's is wide.
    """
    height, width = values.shape[-2:]
    y, x = motion.sources(*(size or (height, width)), stride=stride)
    row, column = y.floor(), x.floor()
    new = values[..., row.long().clamp_(0, height - 1), column.long().clamp_(0, width - 1)]
    if target.kind == "offsets":
        # The new pixel comes from beside the centre of the pixel whose value it takes: the rest makes it exact.
        dy, dx = new[0] + (y - row - 0.5), new[1] + (x - column - 0.5)
        (yy, yx), (xy, xx) = motion.forth.tolist()
        new = torch.stack([yy * dy + yx * dx, xy * dy + xx * dx]).to(values.dtype)
    elif target.kind == "normals":
        # What takes new to source is orthogonal, so its transpose takes them back; z is along the axis.
        (yy, yx), (xy, xx) = motion.turn.tolist()
        new = torch.stack([xx * new[0] + yx * new[1], xy * new[0] + yy * new[1], new[2]])
    elif target.kind == "depth":
        new = new * motion.zoom if target.unit == "disparity" else new / motion.zoom
    missing = IGNORED if target.kind == "segmentation" else torch.nan
    return new.masked_fill_(_outside(y, x, height, width), missing)


def flipped_target(values: Tensor, target: ImageTarget) -> Tensor:
    """Seen in a mirror: left and right exchanged, with the sign of what points along x.

    Args:
        values: [H, W] or [C, H, W], see :class:`ImageTarget`.
        target: What they are.
    """
    new = values.flip(-1)
    along_x = {"offsets": 1, "normals": 0}.get(target.kind)
    if along_x is not None:
        new[along_x].neg_()
    return new


def _outside(y: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    return (y < 0) | (y >= height) | (x < 0) | (x >= width)
