"""Files of images and labels into rows of one size."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.cache import Cached
from counterpoint.data.images.columns import Column, Decoded, Files, Reader
from counterpoint.data.images.decoding import read_rgb
from counterpoint.data.images.rows import ImageRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.data.images.target import ImageTarget


@dataclass(frozen=True)
class Handling:
    """What becomes of the files of a source.

    Attributes:
        size: Height and width of the images.
        stride: How many of the image's pixels one of a dense target's is wide.
        native: Whether the files have to be of that size.
        cache: Where decoded rows are kept, if anywhere.
        workers: Processes that decode batches ahead.
        augmentation: Of training pictures.

    Raises:
        ValueError: for a size that the stride does not divide.
    """

    size: tuple[int, int]
    stride: int = 1
    native: bool = False
    cache: Path | None = None
    workers: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.stride < 1 or any(side % self.stride for side in self.size):
            raise ValueError(
                f"size {self.size[0]} x {self.size[1]} and target_stride {self.stride} do not go together, expected a "
                "stride of at least 1 that divides height and width"
            )

    def rows(
        self,
        name: str,
        images: Files,
        labels: Mapping[ImageTarget, tuple[Files, Reader] | Column],
        read_image: Reader | None = None,
    ) -> ImageRows:
        """The rows.

        Args:
            name: Of what is kept on disk.
            images: One a row.
            labels: For each target one file a row and what reads it, or what is in memory already.
            read_image: Reads an image, uint8 [3, H, W]; an RGB picture if ``None``.
        """
        target_size = (self.size[0] // self.stride, self.size[1] // self.stride)
        columns: dict[str, Column] = {}
        for target, given in labels.items():
            if isinstance(given, tuple):
                files, read = given
                columns[target.name] = self._kept(
                    Decoded(files, read, target_size, target, images), f"{name}-{target.name}"
                )
            else:
                columns[target.name] = given
        image = Decoded(images, read_image or image_tensor, self.size, native=self.native)
        return ImageRows(
            self._kept(image, f"{name}-image"),
            columns,
            {target.name: target for target in labels},
            self.augmentation,
            self.workers,
        )

    def _kept(self, column: Decoded, name: str) -> Column:
        return column if self.cache is None else Cached(column, Path(self.cache).expanduser(), name)


def image_tensor(path: Path) -> torch.Tensor:
    """A colour picture, uint8 [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(read_rgb(path).transpose(2, 0, 1)))
