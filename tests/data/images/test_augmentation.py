"""What is seen in a zoomed, rotated or mirrored picture is what its targets say."""

import math

import numpy as np
import pytest
import torch

from counterpoint.data.images import Augmentation, ImageTarget

TARGETS = {
    "instance": ImageTarget("instance", "segmentation", classes=("none", "a", "b", "c")),
    "offsets": ImageTarget("offsets", "offsets"),
    "depth": ImageTarget("depth", "depth", unit="m"),
    "disparity": ImageTarget("disparity", "depth", unit="disparity"),
    "normals": ImageTarget("normals", "normals"),
    "smiling": ImageTarget("smiling", "binary"),
}
HEIGHT, WIDTH = 48, 64
DISCS = [((14.0, 18.0), 9), ((30.5, 44.5), 11), ((33.0, 13.0), 7)]


def scene(stride=1):
    """Discs that are spheres; the picture says where its pixels are: y in red, x in green, nothing is black."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(HEIGHT // stride) + 0.5, np.arange(WIDTH // stride) + 0.5, indexing="ij")
    y, x = y * stride, x * stride
    instance = np.zeros(y.shape, dtype=np.int8)
    offsets, normals = np.full((2, *y.shape), np.nan), np.full((3, *y.shape), np.nan)
    for number, ((cy, cx), radius) in enumerate(DISCS, start=1):
        inside = np.hypot(y - cy, x - cx) < radius
        instance[inside] = number
        offsets[:, inside] = np.stack([y - cy, x - cx])[:, inside] / stride
        across = np.stack([x - cx, y - cy])[:, inside] / radius
        normals[:, inside] = [*across, -np.sqrt(1 - (across**2).sum(0))]
    labels = {
        "instance": torch.from_numpy(instance),
        "offsets": torch.from_numpy(offsets).float(),
        "depth": torch.from_numpy(rng.uniform(1, 9, (1, *y.shape))).float(),
        "disparity": torch.from_numpy(rng.uniform(1, 90, (1, *y.shape))).float(),
        "normals": torch.from_numpy(normals).float(),
        "smiling": torch.tensor(1),
    }
    y, x = np.meshgrid(np.arange(HEIGHT) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
    return torch.from_numpy(np.stack([y / 100, x / 100, np.ones_like(y)])).float(), labels


def augmented(augmentation, seed, stride=1):
    image, labels = scene(stride)
    return augmentation(image, labels, TARGETS, np.random.default_rng(seed))


VARIED = [
    Augmentation(flip=True),
    Augmentation(scales=(1.2, 1.5, 2.0)),
    Augmentation(rotate=40),
    Augmentation(scales=(1.0, 1.3), flip=True, rotate=25),
]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("augmentation", VARIED)
def test_offsets_point_from_the_centre_of_the_instance_that_is_seen(augmentation, stride):
    seen = 0
    for seed in range(6):
        _, labels = augmented(augmentation, seed, stride)
        instance, offsets = labels["instance"].numpy(), labels["offsets"].numpy()
        assert np.array_equal(np.isnan(offsets[0]), instance < 1)
        for number in (1, 2, 3):
            y, x = np.nonzero(instance == number)
            if len(y) < 12:
                continue
            centres = np.stack([y, x]) - offsets[:, y, x]
            # One centre, to rounding, wherever the pixels came from ...
            assert np.ptp(centres, axis=1).max() < 1e-3
            if min(y.min(), x.min()) > 0 and y.max() < instance.shape[0] - 1 and x.max() < instance.shape[1] - 1:
                # ... and where all of the disc is seen, it is the middle of what is seen.
                seen += 1
                assert np.abs(centres[:, 0] - [y.mean(), x.mean()]).max() < 0.5
    assert seen >= 2


@pytest.mark.parametrize("augmentation", VARIED)
def test_normals_stay_unit_vectors_and_point_away_from_the_centre_of_their_sphere(augmentation):
    for seed in range(6):
        _, labels = augmented(augmentation, seed)
        normals, offsets = labels["normals"].numpy(), labels["offsets"].numpy()
        known = ~np.isnan(normals[0])
        np.testing.assert_allclose(np.linalg.norm(normals[:, known], axis=0), 1, atol=1e-5)
        assert (normals[2, known] <= 0).all()
        far = known & (np.hypot(*np.nan_to_num(offsets)) > 6)
        across = np.arctan2(normals[1, far], normals[0, far]) - np.arctan2(offsets[0, far], offsets[1, far])
        # The value is that of the nearest pixel, up to 0.71 pixels of the picture before it was enlarged twice.
        assert np.abs((across + math.pi) % (2 * math.pi) - math.pi).max() < math.atan(2 * 0.71 / 6)


def sources(image):
    """Where the pixels came from, and which of them tell: not those at a border, of the picture or between pixels."""
    place = image[:2].double().numpy() * 100
    tells = (place > 0.51).all(0) & (place[0] < HEIGHT - 0.51) & (place[1] < WIDTH - 0.51) & (image[2].numpy() > 0.999)
    return place, tells & (np.abs(place - np.rint(place)) > 1e-3).all(0)


def test_a_part_is_enlarged_with_depth_divided_and_disparity_multiplied_by_the_scale():
    _, before = scene()
    corners = set()
    for seed in range(8):
        image, labels = augmented(Augmentation(scales=(1.6,)), seed)
        place, tells = sources(image)
        assert tells.mean() > 0.5
        corner = place[:, HEIGHT // 2, WIDTH // 2] - np.array([HEIGHT + 1, WIDTH + 1]) / 2 / 1.6
        assert np.abs(corner - np.rint(corner)).max() < 1e-3  # parts begin at a pixel
        corners.add(tuple(np.rint(corner).astype(int)))
        expected = corner[:, None, None] + (np.indices((HEIGHT, WIDTH)) + 0.5) / 1.6
        np.testing.assert_allclose(place[:, tells], expected[:, tells], atol=1e-3)
        y, x = np.floor(place[:, tells]).astype(int)
        np.testing.assert_allclose(labels["depth"].numpy()[0, tells], before["depth"].numpy()[0, y, x] / 1.6, rtol=1e-6)
        disparity = labels["disparity"].numpy()[0, tells]
        np.testing.assert_allclose(disparity, before["disparity"].numpy()[0, y, x] * 1.6, rtol=1e-6)
    assert len(corners) > 5
    assert all(0 <= y <= HEIGHT * 3 / 8 and 0 <= x <= WIDTH * 3 / 8 for y, x in corners)


def test_a_rotated_picture_is_turned_about_its_centre_and_keeps_its_depth():
    _, before = scene()
    centre = np.array([HEIGHT, WIDTH])[:, None] / 2
    angles = []
    for seed in range(8):
        image, labels = augmented(Augmentation(rotate=60), seed)
        place, tells = sources(image)
        new = (np.indices((HEIGHT, WIDTH)) + 0.5)[:, tells] - centre
        old = place[:, tells] - centre
        turned = (old[0] + 1j * old[1]) / (new[0] + 1j * new[1])
        np.testing.assert_allclose(turned, turned.mean(), atol=1e-3)
        assert abs(turned.mean()) == pytest.approx(1, abs=1e-4)
        angles.append(np.degrees(np.angle(turned.mean())))
        y, x = np.floor(place[:, tells]).astype(int)
        assert np.array_equal(labels["depth"].numpy()[0, tells], before["depth"].numpy()[0, y, x])
    assert min(angles) < -10
    assert max(angles) > 10
    assert np.abs(angles).max() <= 60


def test_corners_that_come_into_view_are_black_and_unlabelled():
    image, labels = augmented(Augmentation(rotate=40), 3)
    outside = labels["depth"][0].isnan()
    assert 20 < outside.sum() < HEIGHT * WIDTH / 2
    assert outside[0, 0] or outside[0, -1]
    assert (labels["instance"][outside] == -100).all()
    assert (labels["instance"][~outside] >= 0).all()
    assert (image[:, outside] == 0).all()
    assert (image[2, ~outside] > 0.999).all()


def test_without_anything_to_do_nothing_is_done():
    image, labels = scene()
    assert not Augmentation().any
    for augmentation in (Augmentation(), Augmentation(scales=(1.0,))):
        new, targets = augmentation(image, labels, TARGETS, np.random.default_rng(0))
        assert torch.equal(new, image)
        assert all(torch.equal(targets[task].nan_to_num(), labels[task].nan_to_num()) for task in labels)


def test_half_of_the_pictures_are_mirrored_exactly():
    image, labels = scene()
    outcomes = [augmented(Augmentation(flip=True), seed) for seed in range(40)]
    mirrored = [not torch.equal(new, image) for new, _ in outcomes]
    assert 10 < sum(mirrored) < 30
    for (new, targets), other in zip(outcomes, mirrored, strict=True):
        assert torch.equal(new, image.flip(-1) if other else image)
        assert torch.equal(targets["depth"], labels["depth"].flip(-1) if other else labels["depth"])
        assert targets["smiling"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scales": (1.0, 0.8)}, r"scales \[1.0, 0.8\], expected numbers of at least 1"),
        ({"scales": (math.inf,)}, "expected numbers of at least 1"),
        ({"rotate": -3.0}, "rotates by -3.0 degrees, expected 0 to 180"),
        ({"rotate": math.nan}, "expected 0 to 180"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Augmentation(**options)
