"""Generated scenes in the layout that published code prepares NYUv2 in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.folders.files import parts, save_array
from counterpoint.data.generated.scenes import scene
from counterpoint.data.generated.views import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Indices in the 13 classes: floor, wall, window, and objects, furniture, table, chair, sofa.
NYUV2_LABELS = {"ground": 4, "wall": 11, "sky": 12, "sphere": 6, "box": 5, "cylinder": 9, "cone": 3, "pyramid": 8}


def write_nyuv2(root: Path, images: int = 16, seed: int = 0, size: tuple[int, int] = (72, 96)) -> None:
    """Writes scenes as .npy files.

    ``train/`` and ``val/``, each with ``image/``, ``label/``, ``depth/`` and ``normal/`` of ``0.npy`` and so on:
    image float32 [H, W, 3] from 0 to 1, classes float32 [H, W], depth float32 [H, W, 1] in metres and normals float32
    [H, W, 3], both 0 in the sky. Three in four images are to train on: scene n of the split "train" of ``Scenes``;
    the others are those of its split "test".

    Args:
        root: The folder; made if it is missing, and files in it are written over.
        images: How many, at least 3.
        seed: Of the scenes.
        size: Height and width of the images; the real ones are 288 x 384.

    Raises:
        ValueError: for fewer images.
    """
    train, test = parts(images)
    table = np.array([NYUV2_LABELS[name] for name in CLASSES], dtype=np.float32)
    for folder, split, count in (("train", "train", train), ("val", "test", test)):
        for row in range(count):
            shown = scene(seed, split, row, size[0], size[1])
            arrays: dict[str, NDArray[np.float32]] = {
                "image": (shown.image / 255).astype(np.float32),
                "label": table[shown.labels],
                "depth": np.nan_to_num(shown.depth)[..., None].astype(np.float32),
                "normal": np.nan_to_num(shown.normals).astype(np.float32),
            }
            for kind, values in arrays.items():
                save_array(root / folder / kind / f"{row}.npy", values)
