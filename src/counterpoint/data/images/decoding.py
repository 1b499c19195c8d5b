"""Files into arrays, with errors that name the file and say what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

# What Pillow and numpy raise for files that are cut off, empty or of another format.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError)

# Pillow opens 16-bit grey pictures as "I;16" and, in some versions and byte orders, as "I" or "I;16B".
_GREY16 = ("I;16", "I;16B", "I;16L", "I")


def read_rgb(path: Path) -> np.ndarray:
    """A colour picture.

    Args:
        path: A JPEG or PNG file, 8 bits a channel.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: if it is missing, broken, or not RGB.
    """
    return _picture(path, ("RGB",), "an RGB picture").astype(np.uint8, copy=False)


def read_grey8(path: Path) -> np.ndarray:
    """A picture of small numbers, such as labels.

    Args:
        path: A PNG file with one channel of 8 bits; of a palette, the index counts.

    Returns:
        uint8 [H, W].

    Raises:
        ValueError: if it is missing, broken, or of another mode.
    """
    return _picture(path, ("L", "P"), "a picture with one channel of 8 bits").astype(np.uint8, copy=False)


def read_grey16(path: Path) -> np.ndarray:
    """A picture of numbers up to 65,535, such as depth.

    Args:
        path: A PNG file with one channel of 16 bits.

    Returns:
        int32 [H, W].

    Raises:
        ValueError: if it is missing, broken, or of another mode.
    """
    return _picture(path, _GREY16, "a picture with one channel of 16 bits").astype(np.int32)


def read_array(path: Path, channels: int | None = None) -> np.ndarray:
    """An array that numpy saved.

    Args:
        path: A .npy file of numbers.
        channels: Expects a map with so many channels, first or last; told apart by the shape. ``None``: a map without.

    Returns:
        [H, W], or [channels, H, W] whichever way it was saved.

    Raises:
        ValueError: if it is missing, broken, or of another form.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "0.npy", np.zeros((4, 6, 3)))
        ...     read_array(Path(folder) / "0.npy", channels=3).shape
        (3, 4, 6)
    """
    return _channels_first(path, _load(path), channels)


def height_and_width(path: Path, channels: int | None = 3) -> tuple[int, int]:
    """The size of a picture or a .npy map, read from its first bytes.

    Args:
        path: The file.
        channels: Of a .npy map, see :func:`read_array`.

    Raises:
        ValueError: if it is missing or broken.
    """
    if path.suffix == ".npy":
        height, width = _channels_first(path, _load(path, mapped=True), channels).shape[-2:]
        return height, width
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except _BROKEN as error:
        _refuse(path, "a picture", error)


def _picture(path: Path, modes: Collection[str], expected: str) -> np.ndarray:
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(path) as picture:
            mode = picture.mode
            array = np.asarray(picture) if mode in modes else None
    except _BROKEN as error:
        _refuse(path, expected, error)
    if array is None:
        raise ValueError(f"{path} has mode {mode!r}, expected {expected}")
    return array


def _load(path: Path, *, mapped: bool = False) -> np.ndarray:
    try:
        array: Any = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except _BROKEN as error:
        _refuse(path, "an array of numbers saved by numpy", error)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise ValueError(f"{path} has no array of numbers, expected one saved by numpy.save")
    return array


def _channels_first(path: Path, array: np.ndarray, channels: int | None) -> np.ndarray:
    if channels is None:
        if array.ndim == 2:
            return array
        raise ValueError(f"{path} has shape {list(array.shape)}, expected [H, W]")
    if array.ndim == 3 and array.shape[-1] == channels:
        return np.moveaxis(array, -1, 0)
    if array.ndim == 3 and array.shape[0] == channels:
        return array
    raise ValueError(f"{path} has shape {list(array.shape)}, expected [H, W, {channels}] or [{channels}, H, W]")


def _refuse(path: Path, expected: str, error: Exception) -> NoReturn:
    if not path.is_file():
        raise ValueError(f"{path} is missing, expected {expected}") from None
    said = " ".join(str(error).split()) or type(error).__name__
    raise ValueError(f"{path} cannot be read, expected {expected}: {said}") from None
