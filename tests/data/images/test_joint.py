"""Targets keep their meaning when a picture is resized."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from counterpoint.data.images import ImageTarget
from counterpoint.data.images.joint import flipped_target, resized_image, resized_target

SEGMENTATION = ImageTarget("s", "segmentation", classes=("a", "b"))
OFFSETS = ImageTarget("o", "offsets")
sides = st.integers(1, 12)


def random_offsets(height, width):
    """Of a centre somewhere, with holes."""
    rng = np.random.default_rng(height * 100 + width)
    centre = rng.uniform(-3, 15, 2)
    place = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    offsets = place - centre[:, None, None]
    offsets[:, rng.random((height, width)) < 0.3] = np.nan
    return torch.from_numpy(offsets.astype(np.float32)), centre


@given(sides, sides, sides, sides)
def test_labels_are_those_of_the_pixel_that_a_new_centre_lies_in(height, width, new_height, new_width):
    labels = torch.arange(height * width).reshape(height, width)
    new = resized_target(labels, SEGMENTATION, (new_height, new_width))
    for y in range(new_height):
        for x in range(new_width):
            # In whole numbers: floor((y + 1/2) * height / new_height)
            own = labels[(2 * y + 1) * height // (2 * new_height), (2 * x + 1) * width // (2 * new_width)]
            assert new[y, x] == own


@given(sides, sides, sides, sides)
def test_resized_offsets_point_from_the_same_centre(height, width, new_height, new_width):
    offsets, centre = random_offsets(height, width)
    new = resized_target(offsets, OFFSETS, (new_height, new_width)).numpy()
    place = np.stack(np.meshgrid(np.arange(new_height), np.arange(new_width), indexing="ij"))
    expected = (centre + 0.5) * (new_height / height, new_width / width) - 0.5
    known = ~np.isnan(new[0])
    np.testing.assert_allclose((place - new)[:, known].T, np.tile(expected, (known.sum(), 1)), atol=1e-4)
    holes = resized_target(offsets[0].isnan().long(), SEGMENTATION, (new_height, new_width)).bool().numpy()
    assert np.array_equal(~known, holes)  # nothing is made up, nothing is lost


@pytest.mark.parametrize(
    ("target", "channels"),
    [
        (ImageTarget("d", "depth", unit="m"), 1),
        (ImageTarget("d", "depth", unit="disparity"), 1),
        (ImageTarget("n", "normals"), 3),
        (ImageTarget("m", "map"), 1),
    ],
)
def test_other_values_are_none_but_those_that_were_there(target, channels):
    values = torch.randn(channels, 9, 7, generator=torch.Generator().manual_seed(0))
    new = resized_target(values, target, (5, 20))
    pixels = {tuple(pixel) for pixel in values.flatten(1).T.tolist()}
    assert {tuple(pixel) for pixel in new.flatten(1).T.tolist()} <= pixels


def test_images_are_resized_as_pillow_does():
    """Bilinear with antialiasing; Pillow's weights are whole numbers, which makes a level of difference."""
    image = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    for size in [(8, 10), (23, 12), (40, 62)]:
        ours = resized_image(torch.from_numpy(image).movedim(-1, 0), size)
        theirs = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        assert ours.dtype == torch.uint8
        assert np.abs(ours.movedim(0, -1).numpy().astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("kind", ["segmentation", "offsets", "depth", "normals", "map"])
def test_a_mirror_image_of_a_mirror_image_is_the_thing(kind):
    target = ImageTarget("t", kind, classes=("a", "b") if kind == "segmentation" else ())
    values = torch.randn(target.outputs, 5, 6, generator=torch.Generator().manual_seed(1))
    before = values.clone()
    twice = flipped_target(flipped_target(values, target), target)
    assert torch.equal(twice, values)
    assert torch.equal(values, before)  # what was given is left alone
    assert not torch.equal(flipped_target(values, target), values)


def test_a_mirror_image_has_the_mirror_image_of_the_centre():
    offsets, centre = random_offsets(6, 9)
    new = flipped_target(offsets, OFFSETS).numpy()
    place = np.stack(np.meshgrid(np.arange(6), np.arange(9), indexing="ij"))
    known = ~np.isnan(new[0])
    np.testing.assert_allclose((place - new)[0, known], centre[0], atol=1e-5)
    np.testing.assert_allclose((place - new)[1, known], 8 - centre[1], atol=1e-5)
