"""Files of images and of labels, each written completely or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def save_image(path: Path, values: NDArray[Any]) -> None:
    """A JPEG or PNG file; its folder is made if it is missing.

    Args:
        path: Ends with ``.jpg`` or ``.png``.
        values: uint8 [H, W, 3] or [H, W], or uint16 [H, W] for a PNG.
    """
    from PIL import Image  # noqa: PLC0415  (only needed here)

    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
    options = {"quality": 95} if kind == "JPEG" else {}
    shown = Image.fromarray(np.ascontiguousarray(values))
    write_atomically(path, lambda part: shown.save(part, format=kind, **options))


def save_array(path: Path, values: NDArray[Any]) -> None:
    """A .npy file; its folder is made if it is missing.

    Args:
        path: Ends with ``.npy``.
        values: Of any shape.
    """

    def write(part: Path) -> None:
        with part.open("wb") as file:  # by name, numpy would append .npy to the temporary file's
            np.save(file, values)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def save_lines(path: Path, lines: Sequence[str]) -> None:
    """A text file; its folder is made if it is missing.

    Args:
        path: Where.
        lines: Without ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda part: part.write_text("\n".join(lines) + "\n", encoding="utf-8"))


def parts(images: int, least: int = 2) -> tuple[int, int]:
    """How many images are to train on and how many to test on: three in four, and the rest.

    Raises:
        ValueError: if fewer than ``least`` would be left to train on, or none to test on.

    Example:
        >>> parts(16)
        (12, 4)
    """
    test = max(images // 4, 1)
    if images - test < least:
        raise ValueError(f"images is {images}, expected at least {least + 1}: some to train, hold out and test on")
    return images - test, test
