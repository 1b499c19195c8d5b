"""Cityscapes: street scenes with semantic segmentation, instances and disparity."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.images.assembly import Handling
from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.columns import Files, Reader
from counterpoint.data.images.decoding import read_grey8, read_grey16
from counterpoint.data.images.joint import IGNORED
from counterpoint.data.images.listing import (
    chosen_tasks,
    expect_folder,
    expect_same,
    held_out,
    nested_keys_in,
)
from counterpoint.data.images.options import expect_sides, settle
from counterpoint.data.images.target import ImageTarget

if TYPE_CHECKING:
    from counterpoint.data.images.rows import ImageRows

_LAYOUT = "Cityscapes as downloaded: leftImg8bit/, gtFine/, disparity/ under root, each with train/CITY/ and val/CITY/"

# Ids of the classes that the benchmark evaluates, with their categories (cityscapesScripts, helpers/labels.py).
_CLASSES = {
    "road": (7, "flat"),
    "sidewalk": (8, "flat"),
    "building": (11, "construction"),
    "wall": (12, "construction"),
    "fence": (13, "construction"),
    "pole": (17, "object"),
    "traffic light": (19, "object"),
    "traffic sign": (20, "object"),
    "vegetation": (21, "nature"),
    "terrain": (22, "nature"),
    "sky": (23, "sky"),
    "person": (24, "human"),
    "rider": (25, "human"),
    "car": (26, "vehicle"),
    "truck": (27, "vehicle"),
    "bus": (28, "vehicle"),
    "train": (31, "vehicle"),
    "motorcycle": (32, "vehicle"),
    "bicycle": (33, "vehicle"),
}
_CATEGORIES = tuple(dict.fromkeys(category for _, category in _CLASSES.values()))
_WITH_INSTANCES = (24, 25, 26, 27, 28, 31, 32, 33)

# Folder and ending of each task's files.
_FILES = {
    "segmentation": ("gtFine", "_gtFine_labelIds.png"),
    "offsets": ("gtFine", "_gtFine_instanceIds.png"),
    "depth": ("disparity", "_disparity.png"),
}
_IMAGES = ("leftImg8bit", "_leftImg8bit.png")


@dataclass(frozen=True)
class Cityscapes:
    """Cityscapes (Cordts et al. 2016): the three tasks of Sener & Koltun (2018, Section 5.3).

    - ``"segmentation"``: the 19 classes of the benchmark, or their 7 categories; all other pixels are ignored (-100).
    - ``"offsets"``: (dy, dx) from the mean of an instance's pixels to the pixel, for the 8 classes with instances; NaN
      elsewhere, also where several objects are labelled as one group. The mean is that of the full resolution and the
      unaugmented picture; differences are in pixels of the target, which the published loader leaves in those of the
      file.
    - ``"depth"``: disparity in pixels of the file, (p - 1) / 256; NaN where p = 0. It is not scaled with the picture's
      width: it stands for inverse depth, which a smaller picture of the scene has, too. The published loader subtracts
      the mean picture of disparities and divides by their standard deviation.

    Test labels are withheld, so the official validation images are the test rows, and whole cities are held out of the
    training images for validation.

    Attributes:
        root: The folder with ``leftImg8bit/``, ``gtFine/``, ``disparity/``.
        size: Height and width of the images.
        classes: 19, or 7 for the categories.
        tasks: Which of them; all if empty.
        target_stride: How many of the image's pixels one of the target's is wide; the published loader has 8.
        validation: Share of the training images, in whole cities.
        seed: Of the cities that are held out.
        cache: Folder that keeps decoded and resized rows, ``None`` for none.
        workers: Processes that decode batches ahead of a training.
        augmentation: Of training pictures; the published code has ``Augmentation(flip=True, rotate=10)``.

    Raises:
        ValueError: for other classes or tasks; from ``splits()`` for missing files, folders that do not match, or one
            city only.

    Example:
        >>> [target.outputs for target in Cityscapes(Path("cityscapes"), classes=7).targets]
        [7, 2, 1]
    """

    root: Path
    size: tuple[int, int] = (256, 512)
    classes: Literal[19, 7] = 19
    tasks: tuple[str, ...] = ()
    target_stride: int = 1
    validation: float = 0.1
    seed: int = 0
    cache: Path | None = field(default=None, repr=False)
    workers: int = field(default=0, repr=False)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        settle(self, "size", "tasks")
        expect_sides(self.size)
        if self.classes not in {19, 7}:
            raise ValueError(f"Cityscapes has no {self.classes} classes, expected 19, or 7 for the categories")
        chosen_tasks(self.tasks, _FILES, "Cityscapes")

    @property
    def targets(self) -> tuple[ImageTarget, ...]:
        """The tasks."""
        names = tuple(_CLASSES) if self.classes == 19 else _CATEGORIES
        known = {
            "segmentation": ImageTarget("segmentation", "segmentation", names),
            "offsets": ImageTarget("offsets", "offsets"),
            "depth": ImageTarget("depth", "depth", unit="disparity"),
        }
        return tuple(known[task] for task in chosen_tasks(self.tasks, _FILES, "Cityscapes"))

    def with_seed(self, seed: int) -> Cityscapes:
        """The same images, with other cities held out."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, ImageRows]:
        """Rows sorted by city: images [3, H, W], targets as :class:`ImageTarget` says."""
        train, keys = self._rows("train")
        cities = [key.partition("/")[0] for key in keys]
        validation, rest = held_out(cities, [self.validation], self.seed, "cities")
        test, _ = self._rows("val")
        return {"train": _of(train, cities, rest), "validation": _of(train, cities, validation), "test": test}

    def _rows(self, split: str) -> tuple[ImageRows, tuple[str, ...]]:
        root = Path(self.root).expanduser()
        images = expect_folder(root, f"{_IMAGES[0]}/{split}", _LAYOUT)
        keys = tuple(nested_keys_in(images, _IMAGES[1]))
        if not keys:
            raise ValueError(f"{images} has no images, expected CITY/*{_IMAGES[1]}")
        labels: dict[ImageTarget, tuple[Files, Reader]] = {}
        for target in self.targets:
            kind, ending = _FILES[target.name]
            folder = expect_folder(root, f"{kind}/{split}", _LAYOUT)
            expect_same(keys, nested_keys_in(folder, ending), str(images), f"{folder}/CITY/*{ending}")
            labels[target] = (Files(folder, keys, ending), self._reader(target.name))
        handling = Handling(
            self.size,
            self.target_stride,
            cache=self.cache,
            workers=self.workers,
            augmentation=self.augmentation,
        )
        rows = handling.rows(f"cityscapes-{split}", Files(images, keys, _IMAGES[1]), labels)
        return rows, keys

    def _reader(self, task: str) -> Reader:
        if task == "segmentation":
            return partial(read_classes, classes=self.classes)
        return read_offsets if task == "offsets" else read_disparity


def read_classes(path: Path, classes: int) -> Tensor:
    """Classes from ids of labels, int8 [H, W]."""
    table = np.full(256, IGNORED, dtype=np.int8)
    for index, (label, category) in enumerate(_CLASSES.values()):
        table[label] = index if classes == 19 else _CATEGORIES.index(category)
    return torch.from_numpy(table[read_grey8(path)])


def read_offsets(path: Path) -> Tensor:
    """Offsets from ids of instances (1000 times the id of the label, plus a number), float32 [2, H, W]."""
    instances = read_grey16(path)
    inside = np.isin(instances // 1000, _WITH_INSTANCES)  # groups of objects have the label's id alone
    place = np.stack(np.nonzero(inside))
    _, own = np.unique(instances[inside], return_inverse=True)
    offsets = np.full((2, *instances.shape), np.nan, dtype=np.float32)
    for axis in range(2):
        centres = np.bincount(own, place[axis]) / np.maximum(np.bincount(own), 1)
        offsets[axis][inside] = place[axis] - centres[own]
    return torch.from_numpy(offsets)


def read_disparity(path: Path) -> Tensor:
    """Disparity in pixels of the file, float32 [1, H, W]."""
    stored = read_grey16(path)
    return torch.from_numpy(np.where(stored == 0, np.nan, (stored - 1) / 256).astype(np.float32)[None])


def _of(rows: ImageRows, cities: list[str], own: list[str]) -> ImageRows:
    return replace(rows, chosen=torch.from_numpy(np.flatnonzero(np.isin(cities, own))))
