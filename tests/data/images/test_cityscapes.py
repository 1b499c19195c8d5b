"""Cityscapes' rows against what the files hold, worked out pixel by pixel."""

import numpy as np
import pytest
import torch

from counterpoint.data.images import Cityscapes
from counterpoint.data.images.cityscapes import read_classes, read_offsets

from .layouts import cityscapes, save8, save16

TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
TRAIN_IDS |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
CATEGORIES = {7: 0, 11: 1, 17: 2, 21: 3, 23: 4, 24: 5, 26: 6, 33: 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cityscapes")
    return root, cityscapes(root)


def keys(rows):
    return [rows.image.files.keys[number] for number in rows.chosen.tolist()]


def test_files_at_their_own_size_are_read_as_they_are(folder):
    root, wrote = folder
    rows = Cityscapes(root, size=(16, 32)).splits()["train"]
    images, targets = rows.rows(slice(None))
    for place, key in enumerate(keys(rows)):
        arrays = wrote[key]
        assert np.array_equal(images[place].permute(1, 2, 0).mul(255).round().numpy(), arrays["image"])
        expected = np.vectorize(lambda label: TRAIN_IDS.get(label, -100))(arrays["labels"])
        assert np.array_equal(targets["segmentation"][place].numpy(), expected)
        known = arrays["disparity"] > 0
        depth = targets["depth"][place, 0].numpy()
        assert np.array_equal(np.isnan(depth), ~known)
        np.testing.assert_allclose(depth[known], (arrays["disparity"][known] - 1) / 256, rtol=1e-6)


def test_offsets_point_from_the_mean_of_an_instance_of_the_eight_classes(folder):
    root, wrote = folder
    rows = Cityscapes(root, size=(16, 32), tasks=("offsets",)).splits()["test"]
    _, targets = rows.rows(slice(None))
    for offsets, arrays in zip(
        targets["offsets"].numpy(), [wrote[key] for key in sorted(wrote) if "lindau" in key], strict=True
    ):
        expected = np.full((2, 16, 32), np.nan)
        for instance in (26000, 26001, 24003):  # not: a group of bicycles (33), a caravan (29000)
            y, x = np.nonzero(arrays["instances"] == instance)
            expected[0, y, x], expected[1, y, x] = y - y.mean(), x - x.mean()
        np.testing.assert_allclose(offsets, expected, atol=1e-6)


def test_the_seven_categories(folder):
    root, wrote = folder
    source = Cityscapes(root, size=(16, 32), classes=7, tasks=("segmentation",))
    assert source.targets[0].classes == ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
    rows = source.splits()["validation"]
    _, targets = rows.rows(slice(None))
    for place, key in enumerate(keys(rows)):
        expected = np.vectorize(lambda label: CATEGORIES.get(label, -100))(wrote[key]["labels"])
        assert np.array_equal(targets["segmentation"][place].numpy(), expected)


def test_every_id_there_is(tmp_path):
    """The benchmark's ids by category; neither rails, bridges, caravans, trailers nor anything else counts."""
    groups = [(7, 8), (11, 12, 13), (17, 19, 20), (21, 22), (23,), (24, 25), (26, 27, 28, 31, 32, 33)]
    categories = {label: number for number, own in enumerate(groups) for label in own}
    assert list(categories) == list(TRAIN_IDS)
    ids = np.arange(256).reshape(16, 16)
    save8(tmp_path / "labels.png", ids)
    for classes, table in ((19, TRAIN_IDS), (7, categories)):
        expected = np.vectorize(lambda label, table=table: table.get(label, -100))(ids)
        assert np.array_equal(read_classes(tmp_path / "labels.png", classes).numpy(), expected)
    # Three pixels of each instance; people and vehicles have one, whichever number it has.
    save16(tmp_path / "instances.png", np.repeat(np.arange(66)[:, None] * 1000 + 7, 3, axis=1))
    offsets = read_offsets(tmp_path / "instances.png").numpy()
    assert np.flatnonzero(~np.isnan(offsets[1, :, 0])).tolist() == [24, 25, 26, 27, 28, 31, 32, 33]
    assert np.array_equal(offsets[:, 31], [[0, 0, 0], [-1, 0, 1]])


def test_classes_are_called_what_the_benchmark_calls_them(tmp_path):
    names = dict(zip(TRAIN_IDS, Cityscapes(tmp_path).targets[0].classes, strict=True))
    some = {7: "road", 12: "wall", 17: "pole", 19: "traffic light", 20: "traffic sign", 24: "person", 25: "rider"}
    some |= {26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}
    assert {label: names[label] for label in some} == some


def test_targets_may_be_coarser_than_the_image(folder):
    root, _ = folder
    images, targets = Cityscapes(root, size=(8, 16), target_stride=4).splits()["test"].rows(slice(None))
    assert images.shape == (2, 3, 8, 16)
    assert {task: tuple(values.shape) for task, values in targets.items()} == {
        "segmentation": (2, 2, 4),
        "offsets": (2, 2, 2, 4),
        "depth": (2, 1, 2, 4),
    }
    assert targets["segmentation"].dtype == torch.int8


def test_offsets_at_another_size_still_point_to_the_centre(folder):
    root, wrote = folder
    rows = Cityscapes(root, size=(8, 64), tasks=("offsets",)).splits()["test"]
    offsets = rows.rows(slice(0, 1))[1]["offsets"][0].numpy()
    instances = wrote[min(key for key in wrote if "lindau" in key)]["instances"]
    y, x = np.nonzero(~np.isnan(offsets[0]))
    pointed = np.stack([y, x]) + 0.5 - offsets[:, y, x]  # with pixel 0 from 0 to 1
    centres = [
        [(own.mean() + 0.5) * scale for own, scale in zip(np.nonzero(instances == one), (0.5, 2), strict=True)]
        for one in (26000, 26001, 24003)
    ]
    distance = np.abs(pointed.T[:, None] - np.array(centres)).max(-1)
    assert (distance.min(1) < 1e-4).all()
    assert set(distance.argmin(1)) == {0, 1, 2}


def test_whole_cities_are_held_out_by_the_seed(folder):
    root, _ = folder
    held = set()
    for seed in range(8):
        splits = Cityscapes(root, validation=0.2).with_seed(seed).splits()
        own = {name: {key.partition("/")[0] for key in keys(splits[name])} for name in ("train", "validation")}
        assert len(own["validation"]) == 1
        assert own["train"] | own["validation"] == {"aachen", "bochum", "ulm"}
        assert not own["train"] & own["validation"]
        assert len(splits["test"]) == 2
        held |= own["validation"]
    assert len(held) > 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("leftImg8bit", "leftImg8bit/train is missing, expected Cityscapes as downloaded"),
        ("gtFine", "gtFine/train is missing, expected Cityscapes as downloaded"),
        (
            "disparity/train/ulm/ulm_000001_000019_disparity.png",
            (
                r"disparity.png has 5 labels for the 6 images of .*/train, expected one each: there is none for "
                "'ulm/ulm_000001_000019'"
            ),
        ),
        (
            "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png",
            "has 6 labels for the 5 images of .*: 'ulm/ulm_000001_000019' is none of the images",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, spoil, said):
    cityscapes(tmp_path)
    (tmp_path / spoil).rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=said):
        Cityscapes(tmp_path).splits()


def test_one_city_is_too_few_to_hold_one_out(tmp_path):
    cityscapes(tmp_path)
    for kind in ("leftImg8bit", "gtFine", "disparity"):
        for city in ("aachen", "ulm"):
            (tmp_path / kind / "train" / city).rename(tmp_path / f"{kind}-{city}")
    with pytest.raises(ValueError, match="of 1 cities, expected at least 2"):
        Cityscapes(tmp_path).splits()
    for path in (tmp_path / "leftImg8bit" / "train" / "bochum").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"leftImg8bit/train has no images, expected CITY/\*_leftImg8bit.png"):
        Cityscapes(tmp_path).splits()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 20}, "no 20 classes, expected 19, or 7"),
        ({"tasks": ("segmentation", "normals")}, "no task 'normals', expected some of segmentation, offsets, depth"),
        ({"size": (30, 64), "target_stride": 4}, "size 30 x 64 and target_stride 4 do not go together"),
        ({"size": (0, 64)}, "expected height and width in pixels"),
        ({"validation": 1.0}, "expected each above 0 and less than 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, options, said):
    with pytest.raises(ValueError, match=said):
        Cityscapes(folder[0], **options).splits()
