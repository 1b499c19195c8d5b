"""NYUv2: indoor scenes with semantic segmentation, depth and surface normals, as published code prepares them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.images.assembly import Handling
from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.columns import Files, Reader
from counterpoint.data.images.decoding import height_and_width, read_array
from counterpoint.data.images.joint import IGNORED
from counterpoint.data.images.listing import chosen_tasks, expect_folder, expect_same, held_out, keys_in
from counterpoint.data.images.options import expect_sides, settle
from counterpoint.data.images.target import ImageTarget

if TYPE_CHECKING:
    from counterpoint.data.images.rows import ImageRows

_LAYOUT = (
    "NYUv2 as published code prepares it: train/ and val/ under root, each with image/, label/, depth/, normal/ of "
    "files 0.npy, 1.npy, ..."
)

# The classes of Couprie et al. (2013), in the order of the preprocessed labels.
_CLASSES = (
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "tv",
    "wall",
    "window",
)
_FOLDERS = {"segmentation": "label", "depth": "depth", "normals": "normal"}


@dataclass(frozen=True)
class NYUv2:
    """NYUv2 (Silberman et al. 2012) in the .npy files that MTAN's authors prepared and later work uses (288 x 384).

    - ``"segmentation"``: 13 classes; -1 in the files is ignored (-100).
    - ``"depth"``: in metres, NaN where the file has 0.
    - ``"normals"``: as in the files, made unit vectors; NaN where all coordinates are 0. Along the first coordinate is
      the picture's x, as published augmentation has it.

    Maps are saved with their channels last; channels first are read, too, told apart by the shape. Published code
    reports on the official test images (``val/``) what it also chose the epoch by; here some training images are held
    out for validation.

    Attributes:
        root: The folder with ``train/`` and ``val/``.
        size: Height and width of the images; ``None`` for that of the files, which then have to be of one size.
        tasks: Which of them; all if empty.
        target_stride: How many of the image's pixels one of the target's is wide.
        validation: Share of the training images.
        seed: Of the images that are held out.
        cache: Folder that keeps decoded rows, ``None`` for none.
        workers: Processes that decode batches ahead of a training.
        augmentation: Of training pictures; published code has ``Augmentation(scales=(1.0, 1.2, 1.5), flip=True)``.

    Raises:
        ValueError: for other tasks; from ``splits()`` for missing files or folders that do not match; when rows are
            read, for arrays of another form.

    Example:
        >>> [(target.name, target.outputs) for target in NYUv2(Path("nyuv2")).targets]
        [('segmentation', 13), ('depth', 1), ('normals', 3)]
    """

    root: Path
    size: tuple[int, int] | None = None
    tasks: tuple[str, ...] = ()
    target_stride: int = 1
    validation: float = 0.1
    seed: int = 0
    cache: Path | None = field(default=None, repr=False)
    workers: int = field(default=0, repr=False)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        settle(self, "size", "tasks")
        if self.size is not None:
            expect_sides(self.size)
        chosen_tasks(self.tasks, _FOLDERS, "NYUv2")

    @property
    def targets(self) -> tuple[ImageTarget, ...]:
        """The tasks."""
        known = {
            "segmentation": ImageTarget("segmentation", "segmentation", _CLASSES),
            "depth": ImageTarget("depth", "depth", unit="m"),
            "normals": ImageTarget("normals", "normals"),
        }
        return tuple(known[task] for task in chosen_tasks(self.tasks, _FOLDERS, "NYUv2"))

    def with_seed(self, seed: int) -> NYUv2:
        """The same images, with others held out."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, ImageRows]:
        """Rows in the order of their numbers: images [3, H, W], targets as :class:`ImageTarget` says."""
        train = self._rows("train")
        keys = [str(row) for row in range(len(train))]
        validation, rest = (
            torch.tensor(sorted(map(int, part))) for part in held_out(keys, [self.validation], self.seed, "images")
        )
        return {
            "train": replace(train, chosen=rest),
            "validation": replace(train, chosen=validation),
            "test": self._rows("val"),
        }

    def _rows(self, split: str) -> ImageRows:
        root = Path(self.root).expanduser()
        images = expect_folder(root, f"{split}/image", _LAYOUT)
        keys = tuple(sorted(keys_in(images, ".npy"), key=lambda key: (len(key), key)))
        if not keys:
            raise ValueError(f"{images} has no images, expected {_LAYOUT}")
        labels: dict[ImageTarget, tuple[Files, Reader]] = {}
        for target in self.targets:
            own = expect_folder(root, f"{split}/{_FOLDERS[target.name]}", _LAYOUT)
            expect_same(keys, keys_in(own, ".npy"), str(images), str(own))
            labels[target] = (Files(own, keys, ".npy"), self._reader(target))
        files = Files(images, keys, ".npy")
        size = self.size or height_and_width(images / f"{keys[0]}.npy")
        handling = Handling(size, self.target_stride, self.size is None, self.cache, self.workers, self.augmentation)
        return handling.rows(f"nyuv2-{split}", files, labels, read_image)

    def _reader(self, target: ImageTarget) -> Reader:
        if target.name == "segmentation":
            return partial(read_labels, classes=target.outputs)
        return read_depth if target.name == "depth" else read_normals


def read_image(path: Path) -> Tensor:
    """Numbers in [0, 1], or uint8, as uint8 [3, H, W]."""
    image = read_array(path, channels=3)
    if image.dtype != np.uint8:
        if not (image.min() >= -1e-3 and image.max() <= 1 + 1e-3):
            raise ValueError(f"{path} has values from {image.min()} to {image.max()}, expected an image in [0, 1]")
        image = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(image))


def read_labels(path: Path, classes: int) -> Tensor:
    """Classes, -1 if unknown, as int8 [H, W]."""
    labels = read_array(path)
    values = np.unique(labels)
    if values[0] < -1 or values[-1] >= classes or (values != np.rint(values)).any():
        raise ValueError(
            f"{path} has values from {values[0]} to {values[-1]}, expected whole numbers from -1 to {classes - 1}"
        )
    return torch.from_numpy(np.where(labels < 0, IGNORED, labels).astype(np.int8))


def read_depth(path: Path) -> Tensor:
    """Metres, 0 if unknown, as float32 [1, H, W]."""
    depth = read_array(path, channels=1).astype(np.float32)
    return torch.from_numpy(np.where(depth > 0, depth, np.float32(np.nan)))


def read_normals(path: Path) -> Tensor:
    """Vectors, all zero if unknown, as float32 [3, H, W] of unit length."""
    normals = read_array(path, channels=3).astype(np.float32)
    length = np.linalg.norm(normals, axis=0)
    return torch.from_numpy(normals / np.where(length > 0, length, np.float32(np.nan)))
