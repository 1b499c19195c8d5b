"""Generated scenes in the layout of Cityscapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.folders.files import parts, save_image
from counterpoint.data.generated.scenes import scene
from counterpoint.data.generated.shading import FIRST_THING
from counterpoint.data.generated.views import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from counterpoint.data.generated.rendering import Rendered

# What a class is called there, by the id of its label: road, building, sky, and five classes with instances.
CITYSCAPES_LABELS = {
    "ground": 7,
    "wall": 11,
    "sky": 23,
    "sphere": 24,
    "box": 26,
    "cylinder": 27,
    "cone": 33,
    "pyramid": 28,
}
_TRAIN, _TEST = ("aachen", "bochum", "ulm"), ("lindau",)
_INSTANCES = 1_000  # an instance's id is that of its label times this, and its number

# Metres between the two cameras; their focal length is taken to be the image's width.
BASELINE = 0.22


def write_cityscapes(root: Path, images: int = 16, seed: int = 0, size: tuple[int, int] = (64, 128)) -> None:
    """Writes scenes as Cityscapes is downloaded.

    ``leftImg8bit/``, ``gtFine/`` (``labelIds`` and ``instanceIds``) and ``disparity/``, each with three cities in
    ``train/`` and one in ``val/``. Ground, wall and sky are labelled as road, building and sky; spheres, boxes,
    cylinders, cones and pyramids as person, car, truck, bicycle and bus, each an instance of its own. The files hold
    disparities of ``BASELINE * width / depth`` pixels in steps of 1/256; 0, unknown, in the sky. Three in four images
    are to train on: scene n of the split "train" of ``Scenes``; the others are those of its split "test".

    Args:
        root: The folder; made if it is missing, and files in it are written over.
        images: How many, at least 4.
        seed: Of the scenes.
        size: Height and width of the images; the real ones are 1024 x 2048.

    Raises:
        ValueError: for fewer images.
    """
    train, test = parts(images, least=len(_TRAIN))
    for folder, split, cities, count in (("train", "train", _TRAIN, train), ("val", "test", _TEST, test)):
        for row in range(count):
            city = cities[row * len(cities) // count]
            shown = scene(seed, split, row, size[0], size[1])
            labels, instances = _identities(shown)
            name = f"{folder}/{city}/{city}_{row:06}_000019"
            save_image(root / "leftImg8bit" / f"{name}_leftImg8bit.png", shown.image)
            save_image(root / "gtFine" / f"{name}_gtFine_labelIds.png", labels)
            save_image(root / "gtFine" / f"{name}_gtFine_instanceIds.png", instances)
            save_image(root / "disparity" / f"{name}_disparity.png", _disparity(shown))


def _identities(shown: Rendered) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Ids of labels and of instances."""
    labels = np.array([CITYSCAPES_LABELS[name] for name in CLASSES], dtype=np.uint8)[shown.labels]
    # Numbers of things go on from class to class; only that they differ within one is asked for.
    number = shown.surface.astype(np.int64) - FIRST_THING
    instances = np.where(number >= 0, labels * np.int64(_INSTANCES) + number, labels)
    return labels, instances.astype(np.uint16)


def _disparity(shown: Rendered) -> NDArray[np.uint16]:
    disparity = BASELINE * shown.depth.shape[1] / shown.depth
    return np.where(np.isnan(disparity), 0, np.minimum(np.rint(disparity * 256) + 1, 65_535)).astype(np.uint16)
