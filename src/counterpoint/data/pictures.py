"""Pictures of images and of their dense targets, for people."""

from __future__ import annotations

import io
from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from counterpoint.data.images.target import ImageTarget

    Picture = NDArray[np.uint8]

# Where nothing is known, or nothing is to be predicted. No palette comes close to it.
UNKNOWN = (225, 222, 214)
_GREY = np.array(UNKNOWN, dtype=np.uint8)
_INK = (51, 55, 60)

# Wong 2011 (Nature Methods 8, 441): eight colours that colour-blind readers tell apart; yellow and black last, since
# next to white paper they stand out most and should belong to rare classes. More classes get darker, then paler ones.
_WONG = (
    (0, 114, 178),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (240, 228, 66),
    (40, 40, 40),
)
# Ends and middles of viridis (Smith & van der Walt 2015), dark to bright in even steps of perceived lightness.
_VIRIDIS = (
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
)


def picture(target: ImageTarget, values: ArrayLike, limits: tuple[float, float] | None = None) -> Picture:
    """A dense target, or a prediction of it, in colours. What is unknown is light grey.

    - segmentation: a colour for each class that colour-blind readers tell apart;
    - offsets: direction from the centre as hue (right is red, down is green, left is cyan, up is violet), length as
      saturation up to the upper limit;
    - depth: viridis, near is bright;
    - normals: (x, -y, -z) from -1 to 1 as red, green and blue: as is usual, what faces the camera is bluish, what faces
      up greenish, what faces right reddish; vectors of another length are normalized;
    - map: grey, high is white.

    Args:
        target: What the values mean.
        values: As in :class:`~counterpoint.data.images.target.ImageTarget`; a segmentation may also be [C, H, W]
            scores. A tensor has to be on the CPU and detached.
        limits: Of depth, of maps, and (the second one) of the length of offsets: the values shown at the ends. Give
            those of :func:`limits_of` the target to a prediction's picture, too. By default the values' own.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: for a binary target, or values of another shape.

    Example:
        >>> from counterpoint.data.images.target import ImageTarget
        >>> depth = np.array([[[1.0, 5.0, np.nan]]])
        >>> picture(ImageTarget("depth", "depth", unit="m"), depth).tolist()
        [[[253, 231, 37], [68, 1, 84], [225, 222, 214]]]
    """
    array = _checked(target, np.asarray(values))
    if target.kind == "segmentation":
        return _classes(array)
    known = np.isfinite(array).all(axis=0)
    array = np.where(known, array, 0.0)
    if target.kind == "normals":
        length = np.maximum(np.linalg.norm(array, axis=0), 1e-12)
        colors = (array / length * np.array([1, -1, -1]).reshape(3, 1, 1) + 1) / 2
    elif target.kind == "offsets":
        _, longest = limits or limits_of(target, values)
        colors = _directions(array, longest)
    else:
        low, high = limits or limits_of(target, values)
        level = np.clip((array[0] - low) / max(high - low, 1e-12), 0, 1)
        if target.kind == "depth":
            colors = _viridis(level if target.unit == "disparity" else 1 - level)
        else:
            colors = np.broadcast_to(level, (3, *level.shape))
    shown: Picture = np.rint(colors * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.where(known[..., None], shown, _GREY)


def limits_of(target: ImageTarget, values: ArrayLike) -> tuple[float, float]:
    """The values to show at both ends of a scale: the least and the most known; for offsets 0 and the longest.

    Returns:
        (0, 1) where nothing is known.

    Example:
        >>> from counterpoint.data.images.target import ImageTarget
        >>> limits_of(ImageTarget("depth", "depth"), [[[1.0, 5.0, float("nan")]]])
        (1.0, 5.0)
    """
    array = np.asarray(values, dtype=np.float64)
    if target.kind == "offsets":
        array = np.concatenate([[0.0], np.hypot(array[0], array[1]).ravel()])
    known = array[np.isfinite(array)]
    return (float(known.min()), float(known.max())) if known.size > 1 or known.any() else (0.0, 1.0)


def image(values: ArrayLike) -> Picture:
    """An input as a picture.

    Args:
        values: [3, H, W] or [1, H, W], uint8 or from 0 to 1.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: for another shape.

    Example:
        >>> image(np.ones((1, 2, 2))).shape
        (2, 2, 3)
    """
    array = np.asarray(values)
    if array.ndim != 3 or array.shape[0] not in {1, 3}:
        raise ValueError(f"an image has shape {list(array.shape)}, expected [3, H, W] or [1, H, W]")
    if array.dtype != np.uint8:
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (3, *array.shape[1:])).transpose(1, 2, 0))


def sheet(
    rows: Sequence[Sequence[Picture | None]],
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    side: int = 128,
) -> Picture:
    """Pictures in rows and columns with names above and to the left, on white.

    Args:
        rows: Pictures, [H, W, 3] each; ``None`` leaves a gap.
        columns: Names of the columns.
        names: Names of the rows.
        side: Width that pictures are shown at, in pixels; they are enlarged without smoothing, by a whole factor.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: for no picture, or pictures of different sizes.

    Example:
        >>> sheet([[np.zeros((8, 8, 3), dtype=np.uint8)]], columns=["input"], side=64).shape[2]
        3
    """
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415  (only needed here)

    shapes = {shown.shape[:2] for row in rows for shown in row if shown is not None}
    if len(shapes) != 1:
        raise ValueError(f"pictures of a sheet have sizes {sorted(shapes)}, expected one size")
    height, width = shapes.pop()
    factor = max(1, round(side / width))
    height, width = height * factor, width * factor
    font, gap = ImageFont.load_default(15), 6
    left = max([0, *(int(font.getlength(name)) + 2 * gap for name in names)])
    top = 26 if columns else gap
    across = max(len(row) for row in rows)
    size = (left + across * (width + gap) + gap, top + len(rows) * (height + gap))
    paper = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(paper)
    for number, name in enumerate(columns):
        pen.text((left + gap + number * (width + gap) + width / 2, top / 2), name, fill=_INK, font=font, anchor="mm")
    for line, row in enumerate(rows):
        y = top + line * (height + gap)
        if line < len(names):
            pen.text((left - gap, y + height / 2), names[line], fill=_INK, font=font, anchor="rm")
        for number, shown in enumerate(row):
            if shown is not None:
                large = shown.repeat(factor, axis=0).repeat(factor, axis=1)
                paper.paste(Image.fromarray(large), (left + gap + number * (width + gap), y))
    return np.asarray(paper)


def png(shown: Picture) -> bytes:
    r"""A picture as the bytes of a PNG file.

    Example:
        >>> png(np.zeros((2, 2, 3), dtype=np.uint8))[:4]
        b'\x89PNG'
    """
    from PIL import Image  # noqa: PLC0415  (only needed here)

    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def palette(classes: int) -> Picture:
    """[classes, 3]: the colours of a segmentation's classes, in which no two are the same up to 24 classes.

    Example:
        >>> palette(2).tolist()
        [[0, 114, 178], [230, 159, 0]]
    """
    first = np.array(_WONG, dtype=np.float64)
    every = np.concatenate([first, first * 0.55, first + (255 - first) * 0.55])
    colors: Picture = np.rint(every[np.arange(classes) % len(every)]).astype(np.uint8)
    return colors


def _checked(target: ImageTarget, array: NDArray[Any]) -> NDArray[Any]:
    channels = {"segmentation": None, "offsets": 2, "normals": 3, "depth": 1, "map": 1}
    if target.kind not in channels:
        raise ValueError(f"target {target.name!r} is {target.kind}, expected one with a label at every pixel")
    if target.kind == "segmentation":
        if array.ndim == 3 and array.shape[0] == len(target.classes):
            return np.asarray(array.argmax(axis=0))
        good, expected = array.ndim == 2, f"[H, W] or [{len(target.classes)}, H, W]"
    else:
        good, expected = array.ndim == 3 and array.shape[0] == channels[target.kind], f"[{target.outputs}, H, W]"
    if not good:
        raise ValueError(f"{target.kind} {target.name!r} has shape {list(array.shape)}, expected {expected}")
    return array


def _classes(labels: NDArray[Any]) -> Picture:
    known = labels >= 0
    colors = palette(max(int(labels.max(initial=0)) + 1, 1))[np.where(known, labels, 0)]
    return np.where(known[..., None], colors, _GREY)


def _directions(offsets: NDArray[Any], longest: float) -> NDArray[np.float64]:
    """[3, H, W]: white at the centre, and the more saturated the further from it."""
    wheel = np.array([hsv_to_rgb(number / 360, 1.0, 0.9) for number in range(360)])
    dy, dx = offsets
    pure = wheel[np.rint(np.degrees(np.arctan2(dy, dx))).astype(int) % 360].transpose(2, 0, 1)
    length = np.clip(np.hypot(dy, dx) / max(longest, 1e-12), 0, 1)
    return np.asarray(1 - length * (1 - pure))


def _viridis(level: NDArray[Any]) -> NDArray[np.float64]:
    """[3, H, W] of [H, W] from 0 (dark) to 1 (bright)."""
    stops = np.array(_VIRIDIS) / 255
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(level, places, stops[:, channel]) for channel in range(3)])
