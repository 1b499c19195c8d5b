"""What the numbers in Taskonomy's pictures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from counterpoint.data.images.decoding import read_grey8, read_grey16, read_rgb
from counterpoint.data.images.joint import IGNORED

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

# Of the pixels labelled 1 to 17 (coco_selected_classes.txt beside the published models); 0 is "uncertain".
CLASSES = (
    "background",
    "bottle",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
)


def read_semantic(path: Path) -> Tensor:
    """Classes, 0 if uncertain, as int8 [H, W]."""
    stored = read_grey8(path)
    if stored.max() > len(CLASSES):
        raise ValueError(f"{path} has label {stored.max()}, expected 0 to {len(CLASSES)}")
    return torch.from_numpy(np.where(stored == 0, IGNORED, stored.astype(np.int16) - 1).astype(np.int8))


def read_zbuffer(path: Path) -> Tensor:
    """1/512 metres, 65535 if unknown, as float32 [1, H, W] in metres."""
    stored = read_grey16(path)
    known = (stored > 0) & (stored < 65_535)
    return torch.from_numpy(np.where(known, stored / 512, np.nan).astype(np.float32)[None])


def read_normals(path: Path) -> Tensor:
    """Colours as float32 [3, H, W] of unit length, z forward."""
    colour = read_rgb(path).transpose(2, 0, 1).astype(np.float32)
    vectors = (colour / 127.5 - 1) * np.array([1, 1, -1], dtype=np.float32)[:, None, None]
    length = np.linalg.norm(vectors, axis=0)
    # Black is no direction, either: where a view shows no surface, releases have one or the other.
    unknown = (length < 0.5) | (colour == 0).all(0)
    return torch.from_numpy(vectors / np.where(unknown, np.float32(np.nan), length))


def read_map(path: Path) -> Tensor:
    """16 bits as float32 [1, H, W] in [0, 1]."""
    return torch.from_numpy((read_grey16(path) / 65_535).astype(np.float32)[None])
