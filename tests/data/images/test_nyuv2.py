"""NYUv2's rows are the arrays of its files."""

import numpy as np
import pytest
import torch

from counterpoint.data.images import NYUv2

from .layouts import nyuv2


@pytest.fixture(scope="module", params=["channels last", "channels first"])
def folder(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("nyuv2")
    return root, nyuv2(root, first=request.param == "channels first")


def test_rows_are_the_arrays_of_the_files(folder):
    root, wrote = folder
    splits = NYUv2(root, validation=0.3).splits()
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 4, "validation": 2, "test": 3}
    for split, rows in splits.items():
        images, targets = rows.rows(slice(None))
        numbers = range(3) if split == "test" else rows.chosen.tolist()
        for place, number in enumerate(numbers):
            arrays = wrote["val" if split == "test" else "train", number]
            np.testing.assert_allclose(images[place].movedim(0, -1).numpy(), arrays["image"], atol=0.5 / 255 + 1e-6)
            labels = np.where(arrays["label"] < 0, -100, arrays["label"])
            assert np.array_equal(targets["segmentation"][place].numpy(), labels)
            depth = np.where(arrays["depth"][..., 0] == 0, np.nan, arrays["depth"][..., 0])
            np.testing.assert_array_equal(targets["depth"][place, 0].numpy(), depth)
            normals = targets["normals"][place].movedim(0, -1).numpy()
            assert np.isnan(normals[:2]).all()
            np.testing.assert_allclose(normals[2:], arrays["normal"][2:], atol=1e-6)


def test_classes_are_in_the_order_of_the_preprocessed_labels(tmp_path):
    names = "bed books ceiling chair floor furniture objects picture sofa table tv wall window"
    assert NYUv2(tmp_path).targets[0].classes == tuple(names.split())


def test_more_than_ten_rows_are_in_the_order_of_their_numbers(tmp_path):
    wrote = nyuv2(tmp_path, rows=(2, 12), height=2, width=3)
    _, targets = NYUv2(tmp_path, tasks=("depth",)).splits()["test"].rows(slice(None))
    for row in range(12):
        expected = wrote["val", row]["depth"][..., 0]
        assert np.array_equal(targets["depth"][row, 0].nan_to_num(0).numpy(), expected)


def test_another_size_and_a_stride(folder):
    images, targets = NYUv2(folder[0], size=(8, 8), target_stride=2).splits()["test"].rows(slice(0, 1))
    assert images.shape == (1, 3, 8, 8)
    assert targets["segmentation"].shape == (1, 4, 4)
    lengths = targets["normals"].norm(dim=1)
    torch.testing.assert_close(lengths[~lengths.isnan()], torch.ones(int((~lengths.isnan()).sum())))


def test_images_are_held_out_by_the_seed(folder):
    held = [tuple(NYUv2(folder[0], seed=seed).splits()["validation"].chosen.tolist()) for seed in range(6)]
    assert len(set(held)) > 1
    assert held[2] == tuple(NYUv2(folder[0]).with_seed(2).splits()["validation"].chosen.tolist())


def resave(path, change):
    np.save(path, change(np.load(path)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda root: (root / "train/depth/3.npy").unlink(),
            "depth has 5 labels for the 6 images .*: there is none for '3'",
        ),
        (
            lambda root: (root / "val/image").rename(root / "x"),
            "val/image is missing, expected NYUv2 as published code",
        ),
        (
            lambda root: (root / "val/normal").rename(root / "x"),
            "val/normal is missing, expected NYUv2 as published code",
        ),
        (lambda root: [path.unlink() for path in (root / "val/image").iterdir()], "val/image has no images, expected"),
    ],
)
def test_folders_that_do_not_match_are_refused(tmp_path, spoil, said):
    nyuv2(tmp_path, height=2, width=3)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=said):
        NYUv2(tmp_path).splits()


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("image", lambda array: array * 255, r"values from .* to .*, expected an image in \[0, 1\]"),
        ("image", lambda array: array[:, :-1], "has 2 x 2 pixels, expected 2 x 3, as the first of them"),
        ("label", lambda array: array + 5, "expected whole numbers from -1 to 12"),
        ("label", lambda array: array + 0.5, "expected whole numbers from -1 to 12"),
        ("label", lambda array: array * np.nan, "expected whole numbers from -1 to 12"),
        ("label", lambda array: array[..., None], r"has shape \[2, 3, 1\], expected \[H, W\]"),
        ("depth", lambda array: array[..., 0], r"has shape \[2, 3\], expected \[H, W, 1\]"),
        ("depth", lambda array: array[:1], "has 1 x 3 pixels, expected 2 x 3, as its image .*image/1.npy"),
    ],
)
def test_arrays_of_another_form_are_refused_when_they_are_read(tmp_path, file, change, said):
    nyuv2(tmp_path, height=2, width=3)
    np.save(tmp_path / "val/label/1.npy", np.arange(6.0).reshape(2, 3) + 7)
    resave(tmp_path / "val" / file / "1.npy", change)
    rows = NYUv2(tmp_path).splits()["test"]
    rows.rows(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=rf"{file}/1.npy .*{said}"):
        rows.rows(slice(None))


def test_images_saved_as_bytes_are_read(tmp_path):
    wrote = nyuv2(tmp_path, height=2, width=3)
    resave(tmp_path / "val/image/0.npy", lambda array: np.rint(array * 255).astype(np.uint8))
    images, _ = NYUv2(tmp_path).splits()["test"].rows(slice(0, 1))
    np.testing.assert_allclose(images[0].movedim(0, -1).numpy(), wrote["val", 0]["image"], atol=0.5 / 255 + 1e-6)
