"""Random zoom, rotation and mirror image of a picture together with its dense targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from counterpoint.data.images.joint import Motion, flipped_target, moved_image, moved_target
from counterpoint.data.images.options import settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from counterpoint.data.images.target import ImageTarget


@dataclass(frozen=True)
class Augmentation:
    """What is done to training pictures, at random and anew in each pass.

    A picture is rotated about its centre, a part of it is enlarged to its size, and half of them are mirrored.

    Attributes:
        scales: One of them is drawn: the part that is shown is that much smaller. Published code for NYUv2 draws from
            1, 1.2 and 1.5 (Nash-MTL's experiments, after CAGrad's and MTAN's). As there, depth is divided by the scale;
            disparity is multiplied by it; offsets grow by what the part is enlarged by; normals keep their values,
            which is the usual approximation (a scene with its depth divided would be flatter). Published code also
            interpolates normals, across borders of surfaces and of what is known; here a pixel takes the nearest one.
        flip: Whether half of the pictures are mirrored left to right: dx and the normals' x change their signs.
        rotate: Largest angle in degrees, in either direction. Sener & Koltun's code for Cityscapes has 10. Offsets and
            normals turn along; the corners that come into view are black, their labels missing.

    Raises:
        ValueError: for scales below 1 or an angle that is none.

    Example:
        >>> Augmentation(scales=(1.0, 1.2, 1.5), flip=True).any
        True
    """

    scales: tuple[float, ...] = ()
    flip: bool = False
    rotate: float = 0.0

    def __post_init__(self) -> None:
        settle(self, "scales")
        if any(not 1 <= scale < math.inf for scale in self.scales):
            raise ValueError(f"augmentation has scales {list(self.scales)}, expected numbers of at least 1")
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"augmentation rotates by {self.rotate} degrees, expected 0 to 180")

    @property
    def any(self) -> bool:
        """Whether anything is done."""
        return bool(self.scales) or self.flip or self.rotate > 0

    def __call__(
        self, image: Tensor, labels: Mapping[str, Tensor], targets: Mapping[str, ImageTarget], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Draws, and does it to one picture.

        Args:
            image: float32 [3, H, W].
            labels: Of each task; dense ones may be smaller than the image by a whole factor.
            targets: What they are.
            rng: Draws the same number of times, whatever comes out.

        Returns:
            Image and labels of the same shapes.
        """
        motion = self._motion(int(image.shape[-2]), int(image.shape[-1]), rng)
        mirrored = self.flip and rng.random() < 0.5
        width = image.shape[-1]
        new = {}
        for task, values in labels.items():
            target = targets[task]
            if target.dense:
                if motion is not None:
                    values = moved_target(values, target, motion, stride=width // values.shape[-1])  # noqa: PLW2901
                if mirrored:
                    values = flipped_target(values, target)  # noqa: PLW2901
            new[task] = values
        if motion is not None:
            image = moved_image(image, motion)
        return (image.flip(-1) if mirrored else image), new

    def _motion(self, height: int, width: int, rng: np.random.Generator) -> Motion | None:
        scale = float(rng.choice(self.scales)) if self.scales else 1.0
        degrees = rng.uniform(-self.rotate, self.rotate) if self.rotate else 0.0
        part = max(1, round(height / scale)), max(1, round(width / scale))
        corner = [int(rng.integers(0, whole - own + 1)) for whole, own in zip((height, width), part, strict=True)]
        if scale == 1.0 and degrees == 0.0:
            return None
        sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
        shrink = torch.diag(torch.tensor([part[0] / height, part[1] / width], dtype=torch.float64))
        centre = torch.tensor([height / 2, width / 2], dtype=torch.float64)
        shift = centre + turn @ (torch.tensor(corner, dtype=torch.float64) - centre)
        return Motion(turn @ shrink, shift, turn, scale)
