"""Images in which eight factors can be seen: a disc above stripes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.factors import FACTORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from counterpoint.data.generated.factors import Draws

    Floats = NDArray[np.float32]

_COLD, _WARM = np.array([0.25, 0.5, 1.0], dtype=np.float32), np.array([1.0, 0.45, 0.2], dtype=np.float32)
_NOISE = 0.03
# Groups should weigh about the same in a network: stripes all over the image would outdo what one disc says.
_FLOOR = 0.06  # where the floor begins, below the middle in sides
_IMPRECISION = np.float32(0.12)


def attribute_images(draws: Draws) -> NDArray[np.uint8]:
    """One image a row.

    A disc hangs before a wall, above a striped floor. An image shows every factor (from 0 to 1, c = factor - 1/2) give
    or take 0.12, a nuisance of its own: what it says wrongly of a factor, it says to all questions about it.

    - hue: the disc's colour, from blue to orange;
    - aspect: the disc is exp(2 c) as high as wide;
    - angle: of the stripes, from level to upright;
    - period: of the stripes, from 3 to 9 pixels of 32 (evenly in its logarithm);
    - albedo and light: the disc's brightness is 0.5 exp(0.8 (c_albedo + c_light)); the wall's and the floor's is 0.45
      exp(0.8 c_light + 0.3 e), e their own albedo, a nuisance;
    - size and nearness: the disc's radius is 0.2 exp(0.8 (c_size + c_nearness)) of the image's side; its middle is 0.22
      c_nearness + 0.09 e below the image's, e another nuisance.

    Nuisances besides: where the disc is from left to right, the phase of the stripes, and noise of 0.03.

    Args:
        draws: Of N rows.

    Returns:
        uint8 [N, 3, size, size].
    """
    size = draws.noise.shape[-1]
    shown = draws.factors + _IMPRECISION * draws.nuisances[:, 4:]
    factor = {name: shown[:, place, None, None] for place, name in enumerate(FACTORS)}
    centred = {name: values - np.float32(0.5) for name, values in factor.items()}
    nuisance = [draws.nuisances[:, place, None, None] for place in range(4)]
    y, x = (at.astype(np.float32) / size - np.float32(0.5) for at in np.mgrid[:size, :size] + 0.5)

    radius = 0.2 * np.exp(0.8 * (centred["size"] + centred["nearness"]))
    stretch = np.exp(centred["aspect"])
    down = 0.22 * centred["nearness"] + 0.09 * nuisance[0]
    aside = 0.08 * np.clip(nuisance[1], -2, 2)
    apart = np.sqrt(((x - aside) * stretch) ** 2 + ((y - down) / stretch) ** 2)
    cover = np.clip((radius - apart) * size + 0.5, 0, 1)[:, None]  # one pixel of soft border

    angle = factor["angle"] * (np.pi / 2)
    period = 3 / 32 * 3 ** factor["period"]
    waves = np.sin(2 * np.pi * (x * np.sin(angle) + y * np.cos(angle)) / period + np.pi * nuisance[2])
    wall = 0.45 * np.exp(0.8 * centred["light"] + 0.3 * nuisance[3]) * (1 + 0.5 * waves * (y > _FLOOR))

    colors = _COLD + np.clip(shown[:, :1], 0, 1) * (_WARM - _COLD)
    colors = colors / colors.mean(axis=1, keepdims=True)  # no hue is brighter than another
    disc = 0.5 * np.exp(0.8 * (centred["albedo"] + centred["light"]))[:, None] * colors[:, :, None, None]
    images = cover * disc + (1 - cover) * wall[:, None] + _NOISE * draws.noise
    pictures: NDArray[np.uint8] = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pictures
