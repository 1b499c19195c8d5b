"""Generated scenes in the layout of Taskonomy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.dense_truth import edges
from counterpoint.data.generated.folders.files import save_image
from counterpoint.data.generated.scenes import scene
from counterpoint.data.generated.views import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from counterpoint.data.generated.rendering import Rendered

# Numbers in the files, where 0 is "uncertain": couch, tv and background; vase, book, bottle, potted plant, chair.
TASKONOMY_LABELS = {"ground": 4, "wall": 9, "sky": 1, "sphere": 17, "box": 15, "cylinder": 2, "cone": 5, "pyramid": 3}
_NAMES = {"segment_semantic": "segmentsemantic"}  # in the files' names, where it is not the folder's
_UNKNOWN_DEPTH, _PER_METRE = 65_535, 512
_UNKNOWN_NORMAL = 128


def write_taskonomy(
    root: Path, images: int = 24, seed: int = 0, size: tuple[int, int] = (64, 64), buildings: int = 6
) -> None:
    """Writes scenes as Taskonomy is downloaded.

    A folder for each of ``rgb``, ``segment_semantic``, ``depth_zbuffer``, ``normal``, ``keypoints2d`` and
    ``edge_texture``, each with ``BUILDING/point_P_view_V_domain_NAME.png``. Depth is in steps of 1/512 m, normals in
    256 steps a coordinate with z towards the camera, both unknown in the sky; keypoints are where the picture changes
    both across and down; edges are those of ``Scenes``. Image n is scene n of the split "train" of ``Scenes``.

    Args:
        root: The folder; made if it is missing, and files in it are written over.
        images: How many, at least one a building.
        seed: Of the scenes.
        size: Height and width of the images; the real ones are 512 x 512.
        buildings: How many to spread them over; at least 3, one for each split.

    Raises:
        ValueError: for fewer buildings or images.
    """
    if not 3 <= buildings <= images:
        raise ValueError(f"{images} images of {buildings} buildings, expected 3 or more buildings with an image each")
    for row in range(images):
        building = f"building{row * buildings // images:02}"
        for domain, values in _domains(scene(seed, "train", row, size[0], size[1])).items():
            name = f"point_{row}_view_0_domain_{_NAMES.get(domain, domain)}.png"
            save_image(root / domain / building / name, values)


def _domains(shown: Rendered) -> dict[str, NDArray[np.uint8] | NDArray[np.uint16]]:
    table = np.array([TASKONOMY_LABELS[name] for name in CLASSES], dtype=np.uint8)
    depth = np.where(np.isnan(shown.depth), _UNKNOWN_DEPTH, np.rint(shown.depth * _PER_METRE))
    colours = np.rint((shown.normals * [1, 1, -1] + 1) * 127.5)
    return {
        "rgb": shown.image,
        "segment_semantic": table[shown.labels],
        "depth_zbuffer": depth.astype(np.uint16),
        "normal": np.where(np.isnan(colours), _UNKNOWN_NORMAL, colours).astype(np.uint8),
        "keypoints2d": _sixteen_bits(_corners(shown.image)),
        "edge_texture": _sixteen_bits(edges(shown.surface)[0]),
    }


def _corners(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W] from 0 to 1: the geometric mean of how much the picture changes across and down."""
    down, across = np.gradient(image.astype(np.float32).mean(axis=2) / 255)
    corners: NDArray[np.float32] = np.minimum(2 * np.sqrt(np.abs(down * across)), 1)
    return corners


def _sixteen_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    stored: NDArray[np.uint16] = np.rint(values * np.float32(65_535)).astype(np.uint16)
    return stored
