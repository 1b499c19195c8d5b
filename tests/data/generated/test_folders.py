"""What the loaders of real layouts read is what was generated, up to what the files can hold."""

import numpy as np
import pytest
import torch

from counterpoint.data.generated import Attributes, Scenes, write_celeba, write_cityscapes, write_nyuv2, write_taskonomy
from counterpoint.data.generated.folders.celeba import CELEBA_ATTRIBUTES
from counterpoint.data.generated.folders.cityscapes import BASELINE
from counterpoint.data.images import CelebA, Cityscapes, NYUv2, Taskonomy

SIZE = (24, 32)
SCENES = Scenes(train_rows=9, validation_rows=1, test_rows=3, height=24, width=32, seed=4)


@pytest.fixture(scope="module")
def scenes():
    return SCENES.splits()


def joined(splits, *names):
    """Rows of several splits, whichever of the generated ones each holds."""
    batches = [splits[name].rows(slice(None)) for name in names]
    return torch.cat([images for images, _ in batches]), {
        task: torch.cat([targets[task] for _, targets in batches]) for task in batches[0][1]
    }


def in_order(read, like):
    """All targets, put in the order of the generated images."""
    images, targets = read
    wanted = like.float() / 255
    order = [int((images - one).abs().flatten(1).sum(1).argmin()) for one in wanted]
    assert sorted(order) == list(range(len(images)))
    np.testing.assert_allclose(images[order], wanted, atol=1e-6)
    return {task: values[order].numpy() for task, values in targets.items()}


def test_celeba(tmp_path):
    write_celeba(tmp_path, rows=20, seed=2, size=48)
    read = CelebA(tmp_path, size=48).splits()
    made = Attributes(16, 2, 2, size=48, seed=2).splits()
    assert len(CELEBA_ATTRIBUTES) == 40
    for name, rows in read.items():
        images, targets = rows.rows(slice(None))
        assert tuple(targets) == CELEBA_ATTRIBUTES
        for mine, theirs in zip(made[name].targets.values(), targets.values(), strict=True):
            assert torch.equal(mine, theirs)
        assert (images - made[name].inputs.float() / 255).abs().mean() < 0.05  # JPEG


def test_cityscapes(tmp_path, scenes):
    write_cityscapes(tmp_path, images=12, seed=4, size=SIZE)
    source = Cityscapes(tmp_path, size=SIZE)
    read = source.splits()
    names = next(target.classes for target in source.targets if target.kind == "segmentation")
    ours = ("road", "building", "sky", "person", "car", "truck", "bicycle", "bus")
    # In the order of ours: ground, wall, sky, sphere, box, cylinder, cone, pyramid.
    table = np.array([names.index(name) for name in ours])
    for parts, split in ((("train", "validation"), "train"), (("test",), "test")):
        found = in_order(joined(read, *parts), scenes[split].inputs)
        truth = {task: values.numpy() for task, values in scenes[split].targets.items()}
        np.testing.assert_array_equal(found["segmentation"], table[truth["segmentation"]])
        np.testing.assert_allclose(found["offsets"], truth["offsets"], atol=1e-4)
        np.testing.assert_allclose(found["depth"], BASELINE * 32 / truth["depth"], atol=0.5 / 256 + 1e-6)


def test_nyuv2(tmp_path, scenes):
    write_nyuv2(tmp_path, images=12, seed=4, size=SIZE)
    source = NYUv2(tmp_path)
    read = source.splits()
    names = next(target.classes for target in source.targets if target.kind == "segmentation")
    ours = ("floor", "wall", "window", "objects", "furniture", "table", "chair", "sofa")
    table = np.array([names.index(name) for name in ours])
    for parts, split in ((("train", "validation"), "train"), (("test",), "test")):
        found = in_order(joined(read, *parts), scenes[split].inputs)
        truth = {task: values.numpy() for task, values in scenes[split].targets.items()}
        np.testing.assert_array_equal(found["segmentation"], table[truth["segmentation"]])
        np.testing.assert_array_equal(found["depth"], truth["depth"])
        np.testing.assert_allclose(found["normals"], truth["normals"], atol=1e-6)


def test_taskonomy(tmp_path, scenes):
    write_taskonomy(tmp_path, images=9, seed=4, size=SIZE, buildings=3)
    source = Taskonomy(tmp_path, size=SIZE)
    read = source.splits()
    assert not any(target.partial for target in source.targets)
    assert [len(rows) for rows in read.values()] == [3, 3, 3]
    names = next(target.classes for target in source.targets if target.kind == "segmentation")
    ours = ("couch", "tv", "background", "vase", "book", "bottle", "potted plant", "chair")
    found = in_order(joined(read, *read), scenes["train"].inputs)
    truth = {task: values.numpy() for task, values in scenes["train"].targets.items()}
    np.testing.assert_array_equal(
        found["segmentation"], np.array([names.index(n) for n in ours])[truth["segmentation"]]
    )
    np.testing.assert_allclose(found["depth"], truth["depth"], atol=0.5 / 512 + 1e-6)
    np.testing.assert_allclose(found["normals"], truth["normals"], atol=0.012)  # 256 steps a coordinate
    np.testing.assert_allclose(found["edges"], truth["edges"], atol=1e-5)
    assert 0 <= found["keypoints"].min() < found["keypoints"].max() <= 1


def test_writing_again_leaves_the_same_files(tmp_path):
    def content():
        return {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    write_nyuv2(tmp_path, images=4, size=(8, 8))
    first = content()
    write_nyuv2(tmp_path, images=4, size=(8, 8))
    assert content() == first
    assert len(first) == 16


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: write_celeba(root, rows=2), "rows is 2, expected at least 3"),
        (lambda root: write_cityscapes(root, images=3), "images is 3, expected at least 4"),
        (lambda root: write_nyuv2(root, images=1), "images is 1, expected at least 3"),
        (lambda root: write_taskonomy(root, images=2), "2 images of 6 buildings, expected 3 or more buildings"),
    ],
)
def test_too_few_images_get_one_line(write, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(tmp_path)
    assert not list(tmp_path.iterdir())
