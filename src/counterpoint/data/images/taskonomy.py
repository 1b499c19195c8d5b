"""Taskonomy: indoor scenes with five tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from counterpoint.data.images.assembly import Handling
from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.columns import Files, Reader
from counterpoint.data.images.listing import chosen_tasks, expect_folder, held_out
from counterpoint.data.images.options import expect_sides, settle
from counterpoint.data.images.target import ImageTarget
from counterpoint.data.images.taskonomy_files import CLASSES, read_map, read_normals, read_semantic, read_zbuffer

if TYPE_CHECKING:
    from counterpoint.data.images.rows import ImageRows

_LAYOUT = (
    "Taskonomy as downloaded: a folder for each domain under root (rgb/, segment_semantic/, depth_zbuffer/, normal/, "
    "keypoints2d/, edge_texture/), each with BUILDING/point_P_view_V_domain_NAME.png"
)
# What follows the point and the view differs from the folder's name in some releases (domain_segmentsemantic).
_NAME = re.compile(r"(point_\d+_view_\d+)(_domain_\w+\.png)")

_TARGETS = {
    "segmentation": ImageTarget("segmentation", "segmentation", CLASSES),
    "depth": ImageTarget("depth", "depth", unit="m"),
    "normals": ImageTarget("normals", "normals"),
    "keypoints": ImageTarget("keypoints", "map"),
    "edges": ImageTarget("edges", "map"),
}
_DOMAINS = {
    "segmentation": "segment_semantic",
    "depth": "depth_zbuffer",
    "normals": "normal",
    "keypoints": "keypoints2d",
    "edges": "edge_texture",
}


@dataclass(frozen=True)
class Taskonomy:
    """Taskonomy (Zamir et al. 2018), with the five tasks that TAG groups (Fifty et al. 2021).

    - ``"segmentation"``: 17 classes, pseudo-labels; pixels that are "uncertain" in the files are ignored (-100).
    - ``"depth"``: along the optical axis in metres (1/512 m in the files); NaN where the mesh has a hole (65535, or 0).
    - ``"normals"``: unit vectors from 8-bit colours, x right, y down; their z, which points at the camera in the files,
      is turned round so that it points forward as everywhere here. NaN where the colour is grey: no surface.
    - ``"keypoints"`` and ``"edges"``: 2D keypoints and 2D texture edges, 16 bits as [0, 1].

    Views that a domain's folder lacks have no label for its task, which is partial then. Images of one building are
    never in two splits; the published splits are lists of buildings (``data/assets/splits_taskonomy.zip`` of its
    repository) to be named here.

    Attributes:
        root: The folder with a folder for each domain.
        size: Height and width of the images.
        tasks: Which of them; all if empty.
        target_stride: How many of the image's pixels one of the target's is wide.
        train: Names of the training buildings; all that are in no other split if empty.
        validation: Names of the validation buildings, or the share of the images that whole buildings are drawn for.
        test: The same for the test rows.
        seed: Of the buildings that are drawn.
        cache: Folder that keeps decoded and resized rows, ``None`` for none.
        workers: Processes that decode batches ahead of a training.
        augmentation: Of training pictures.

    Raises:
        ValueError: for other tasks, for buildings that are missing or in two splits, for one list and one share; from
            ``targets`` and ``splits()`` for missing folders.
    """

    root: Path
    size: tuple[int, int] = (256, 256)
    tasks: tuple[str, ...] = ()
    target_stride: int = 1
    train: tuple[str, ...] = ()
    validation: float | tuple[str, ...] = 0.1
    test: float | tuple[str, ...] = 0.1
    seed: int = 0
    cache: Path | None = field(default=None, repr=False)
    workers: int = field(default=0, repr=False)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        settle(self, "size", "tasks", "train", "validation", "test")
        expect_sides(self.size)
        chosen_tasks(self.tasks, _TARGETS, "Taskonomy")
        if isinstance(self.validation, tuple) != isinstance(self.test, tuple):
            raise ValueError("validation and test are a list and a share, expected buildings for both, or shares")
        if self.train and not isinstance(self.validation, tuple):
            raise ValueError("train is a list of buildings, expected lists for validation and test, too")

    @cached_property
    def targets(self) -> tuple[ImageTarget, ...]:
        """The tasks. Looks through the folders for views that lack one, once: real ones hold millions."""
        return tuple(self._files()[1])

    def with_seed(self, seed: int) -> Taskonomy:
        """The same images, with other buildings drawn; where they are named, the same rows."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, ImageRows]:
        """Rows sorted by building: images [3, H, W], targets as :class:`ImageTarget` says."""
        images, labels = self._files()
        handling = Handling(
            self.size,
            self.target_stride,
            cache=self.cache,
            workers=self.workers,
            augmentation=self.augmentation,
        )
        rows = handling.rows("taskonomy", images, labels)
        buildings = np.array([key.partition("/")[0] for key in images.keys])
        splits = {}
        for name, own in self._buildings(buildings.tolist()).items():
            splits[name] = replace(rows, chosen=torch.from_numpy(np.flatnonzero(np.isin(buildings, own))))
        return splits

    def _buildings(self, found: list[str]) -> dict[str, list[str]]:
        """The buildings of each split."""
        if not isinstance(self.validation, tuple) or not isinstance(self.test, tuple):
            shares = [float(own) for own in (self.validation, self.test) if not isinstance(own, tuple)]
            validation, test, train = held_out(found, shares, self.seed, "buildings")
            return {"train": train, "validation": validation, "test": test}
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        listed = [building for own in named.values() for building in own]
        for building in listed:
            if building not in set(found):
                raise ValueError(
                    f"{Path(self.root) / 'rgb'} has no images of {building!r}, expected all that are named"
                )
            if listed.count(building) > 1:
                raise ValueError(f"building {building!r} is named twice, expected it in one split")
        chosen = {name: list(own) for name, own in named.items()}
        chosen["train"] = chosen["train"] or sorted(set(found) - set(listed))
        if empty := [name for name, own in chosen.items() if not own]:
            raise ValueError(f"no building is left for the {empty[0]} rows, expected at least one")
        return chosen

    def _files(self) -> tuple[Files, dict[ImageTarget, tuple[Files, Reader]]]:
        """Files of the images, and those of each task."""
        folder = _domain(Path(self.root).expanduser(), "rgb")
        endings = _views(folder)
        keys = tuple(sorted(endings))
        if not keys:
            raise ValueError(f"{folder} has no images, expected {_LAYOUT}")
        labels: dict[ImageTarget, tuple[Files, Reader]] = {}
        for task in chosen_tasks(self.tasks, _TARGETS, "Taskonomy"):
            own = _domain(Path(self.root).expanduser(), _DOMAINS[task])
            found = _views(own)
            absent = frozenset(row for row, key in enumerate(keys) if key not in found)
            if len(absent) == len(keys):
                raise ValueError(f"{own} has no label for any image of {folder}, expected {_LAYOUT}")
            target = replace(_TARGETS[task], partial=bool(absent))
            labels[target] = (Files(own, keys, _ending(own, found), absent), _READERS[task])
        return Files(folder, keys, _ending(folder, endings)), labels


def _domain(root: Path, domain: str) -> Path:
    """The folder of a domain; today's download has another level, for the collection that images belong to."""
    folder = expect_folder(root, domain, _LAYOUT)
    inner = folder / "taskonomy"
    return inner if inner.is_dir() else folder


def _views(folder: Path) -> dict[str, str]:
    """What the files are called after ``"BUILDING/point_P_view_V"``, by that."""
    found = {}
    for building in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in building.iterdir():
            if match := _NAME.fullmatch(path.name):
                found[f"{building.name}/{match[1]}"] = match[2]
    return found


def _ending(folder: Path, found: dict[str, str]) -> str:
    endings = sorted(set(found.values()))
    if len(endings) > 1:
        raise ValueError(
            f"{folder} has files that end with {endings[0]} and {endings[1]}, expected those of one domain"
        )
    return endings[0]


_READERS: dict[str, Reader] = {
    "segmentation": read_semantic,
    "depth": read_zbuffer,
    "normals": read_normals,
    "keypoints": read_map,
    "edges": read_map,
}
