"""Images in which eight factors can be seen: a disc before stripes."""

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
_IMPRECISION = np.float32(0.12)


def attribute_images(draws: Draws) -> NDArray[np.uint8]:
    """One image a row.

    A disc stands before a striped wall. What is drawn of the factors (each from 0 to 1, c = factor - 1/2):

    - hue: the disc's colour, from blue to orange;
    - aspect: the disc is exp(1.2 c) as high as wide (and as much narrower);
    - angle: of the stripes, from level to upright;
    - period: of the stripes, from 3 to 9 pixels of 32 (evenly in its logarithm);
    - albedo and light: the disc's brightness is 0.5 exp(0.8 (c_albedo + c_light)); the wall's is 0.45 exp(0.8 c_light
      + 0.16 e), e its own albedo, a nuisance;
    - size and nearness: the disc's radius is 0.2 exp(0.7 (c_size + c_nearness)) of the image's side; its middle is the
      lower in the image the nearer it is, give or take another nuisance.

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
    stretch = np.exp(1.0 * centred["aspect"])
    down = 0.22 * centred["nearness"] + 0.09 * nuisance[0]
    aside = 0.08 * np.clip(nuisance[1], -2, 2)
    apart = np.sqrt(((x - aside) * stretch) ** 2 + ((y - down) / stretch) ** 2)
    cover = np.clip((radius - apart) * size + 0.5, 0, 1)[:, None]  # one pixel of soft border

    angle = factor["angle"] * (np.pi / 2)
    period = 3 / 32 * 4 ** factor["period"]
    waves = np.sin(2 * np.pi * (x * np.sin(angle) + y * np.cos(angle)) / period + np.pi * nuisance[2])
    wall = 0.45 * np.exp(0.8 * centred["light"] + 0.3 * nuisance[3]) * (1 + 0.4 * waves * (y > 0.125))

    colors = _COLD + np.clip(shown[:, :1], 0, 1) * (_WARM - _COLD)
    colors = colors / colors.mean(axis=1, keepdims=True)  # no hue is brighter than another
    disc = 0.5 * np.exp(0.8 * (centred["albedo"] + centred["light"]))[:, None] * colors[:, :, None, None]
    images = cover * disc + (1 - cover) * wall[:, None] + _NOISE * draws.noise
    pictures: NDArray[np.uint8] = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pictures
