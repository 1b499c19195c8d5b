"""Pictures of dense targets show what is known, in colours that can be told apart."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from counterpoint.data.images.target import ImageTarget
from counterpoint.data.pictures import UNKNOWN, image, limits_of, palette, picture, png, sheet

SEGMENTATION = ImageTarget("scene", "segmentation", classes=("a", "b", "c"))
OFFSETS, DEPTH = ImageTarget("offsets", "offsets"), ImageTarget("depth", "depth", unit="m")
NORMALS, EDGES = ImageTarget("normals", "normals"), ImageTarget("edges", "map")


def luminance(colors):
    return np.asarray(colors, dtype=float) @ [0.2126, 0.7152, 0.0722]


def test_classes_have_the_colours_of_the_palette_and_ignored_pixels_none():
    labels = torch.tensor([[0, 1], [2, -100]], dtype=torch.int8)
    shown = picture(SEGMENTATION, labels)
    np.testing.assert_array_equal(shown.reshape(4, 3), [*palette(3), UNKNOWN])
    scores = torch.nn.functional.one_hot(labels.long().clamp(min=0), 3).permute(2, 0, 1).float()
    np.testing.assert_array_equal(picture(SEGMENTATION, scores)[0], shown[0])


def test_colours_of_classes_differ_from_each_other_and_from_unknown():
    colors = np.concatenate([palette(24), [UNKNOWN]]).astype(int)
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 1000 * np.eye(25, dtype=int)
    assert apart.min() > 25
    assert apart[:8, :8].min() > 80


def test_depth_is_brightest_where_it_is_near():
    depth = np.linspace(1, 9, 50).reshape(1, 1, 50)
    light = luminance(picture(DEPTH, depth))[0]
    assert (np.diff(light) < 0).all()
    disparity = ImageTarget("depth", "depth", unit="disparity")  # large where it is near
    assert (np.diff(luminance(picture(disparity, depth))[0]) > 0).all()
    np.testing.assert_array_equal(picture(DEPTH, np.full((1, 2, 2), np.nan)), np.broadcast_to(UNKNOWN, (2, 2, 3)))


def test_shared_limits_make_equal_depths_look_equal():
    target, prediction = np.array([[[2.0, 6.0, np.nan]]]), np.array([[[2.0, 20.0, 4.0]]])
    limits = limits_of(DEPTH, target)
    assert limits == (2.0, 6.0)
    first, second = picture(DEPTH, target, limits), picture(DEPTH, prediction, limits)
    np.testing.assert_array_equal(first[0, 0], second[0, 0])
    np.testing.assert_array_equal(first[0, 1], second[0, 1])  # beyond the end of the scale
    np.testing.assert_array_equal(first[0, 2], UNKNOWN)
    assert (picture(DEPTH, prediction)[0, 2] != second[0, 2]).any()


def test_normals_follow_the_usual_colours():
    facing = {(0, 0, -1): (128, 128, 255), (0, -1, 0): (128, 255, 128), (1, 0, 0): (255, 128, 128)}
    for normal, color in facing.items():
        shown = picture(NORMALS, 3.0 * np.array(normal, dtype=float).reshape(3, 1, 1))
        np.testing.assert_array_equal(shown[0, 0], color)
    np.testing.assert_array_equal(picture(NORMALS, np.full((3, 1, 1), np.nan))[0, 0], UNKNOWN)


def test_offsets_are_white_at_the_centre_and_turn_hue_with_direction():
    y, x = np.mgrid[-10:11, -10:11].astype(float)
    shown = picture(OFFSETS, np.stack([y, x])).astype(int)
    np.testing.assert_array_equal(shown[10, 10], [255, 255, 255])
    right, down, left, up = shown[10, 20], shown[20, 10], shown[10, 0], shown[0, 10]
    assert right[0] > max(right[1:])
    assert down[1] > max(down[0], down[2])
    assert left[0] < min(left[1:])
    assert up[2] > max(up[:2])
    saturation = np.ptp(shown[10, 10:], axis=1)
    assert (np.diff(saturation) > 0).all()
    assert limits_of(OFFSETS, np.stack([y, x])) == (0.0, pytest.approx(np.hypot(10, 10)))
    assert np.ptp(picture(OFFSETS, np.stack([y, x]), (0.0, 100.0)).astype(int), axis=2).max() < saturation.max()


def test_maps_are_grey():
    shown = picture(EDGES, np.array([[[0.0, 0.5, 1.0, np.nan]]]))
    np.testing.assert_array_equal(shown[0, :3], [[0] * 3, [128] * 3, [255] * 3])
    np.testing.assert_array_equal(shown[0, 3], UNKNOWN)
    np.testing.assert_array_equal(picture(EDGES, np.zeros((1, 2, 2))), np.zeros((2, 2, 3)))


def test_inputs_as_pictures():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    np.testing.assert_array_equal(image(pixels), pixels.transpose(1, 2, 0))
    np.testing.assert_array_equal(image(torch.from_numpy(pixels) / 255), pixels.transpose(1, 2, 0))
    assert image(np.zeros((1, 4, 5), dtype=np.float32)).shape == (4, 5, 3)


def test_a_sheet_holds_every_picture_enlarged_by_a_whole_factor():
    first, second = (np.full((6, 8, 3), value, dtype=np.uint8) for value in (40, 90))
    shown = sheet([[first, second], [None, first]], columns=["one", "two"], names=["above", "below"], side=33)
    for value, count in ((40, 2), (90, 1)):
        assert (shown == value).all(axis=2).sum() == count * (6 * 4) * (8 * 4)
    assert (shown[0, 0] == 255).all()
    assert (shown < 60).all(axis=2).any()  # letters
    plain = sheet([[first]], side=8)
    assert plain.shape[0] < shown.shape[0]


def test_png_holds_the_same_pixels():
    shown = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(shown)))), shown)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: picture(ImageTarget("bald", "binary"), np.zeros(3)), "target 'bald' is binary, expected one with a"),
        (lambda: picture(DEPTH, np.zeros((2, 2))), r"depth 'depth' has shape \[2, 2\], expected \[1, H, W\]"),
        (lambda: picture(SEGMENTATION, np.zeros((2, 4, 4))), r"expected \[H, W\] or \[3, H, W\]"),
        (lambda: image(np.zeros((4, 4))), r"an image has shape \[4, 4\]"),
        (lambda: sheet([]), "expected one size"),
        (lambda: sheet([[np.zeros((2, 2, 3)), np.zeros((3, 2, 3))]]), "expected one size"),
    ],
)
def test_bad_arguments_get_one_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()
