"""Taskonomy's rows are what its pictures encode; a building is in one split."""

import numpy as np
import pytest
import torch

from counterpoint.data.images import Taskonomy

from .layouts import save8, taskonomy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("taskonomy")
    return root, taskonomy(root)


def keys(rows):
    return [rows.image.files.keys[number] for number in rows.chosen.tolist()]


def test_rows_are_what_the_pictures_encode(folder):
    root, wrote = folder
    splits = Taskonomy(root, size=(16, 16)).splits()
    assert sum(len(rows) for rows in splits.values()) == len(wrote)
    for rows in splits.values():
        images, targets = rows.rows(slice(None))
        for place, key in enumerate(keys(rows)):
            arrays = wrote[key]
            own = {task: values[place].numpy() for task, values in targets.items()}
            assert np.array_equal(images[place].mul(255).round().movedim(0, -1).numpy(), arrays["rgb"])
            assert np.array_equal(
                own["segmentation"], np.where(arrays["segment_semantic"] == 0, -100, arrays["segment_semantic"] - 1)
            )
            depth = arrays["depth_zbuffer"]
            np.testing.assert_allclose(own["depth"][0], np.where(depth == 65535, np.nan, depth / 512), rtol=1e-6)
            np.testing.assert_allclose(own["keypoints"][0], arrays["keypoints2d"] / 65535, atol=1e-6)
            np.testing.assert_allclose(own["edges"][0], arrays["edge_texture"] / 65535, atol=1e-6)
            for colour, expected in [
                ([128, 128, 255], [0, 0, -1]),  # blue points at the camera: against z, which is forward
                ([128, 128, 0], [0, 0, 1]),
                ([255, 128, 128], [1, 0, 0]),
                ([128, 128, 128], [np.nan] * 3),  # no surface
            ]:
                pixels = (arrays["normal"] == colour).all(-1)
                np.testing.assert_allclose(
                    own["normals"][:, pixels], np.tile(np.array(expected)[:, None], pixels.sum()), atol=0.006
                )
            lengths = np.linalg.norm(own["normals"], axis=0)
            np.testing.assert_allclose(lengths[~np.isnan(lengths)], 1, atol=1e-6)


def test_buildings_are_drawn_for_one_split_each_by_the_seed(folder):
    root, wrote = folder
    drawn = set()
    for seed in range(8):
        own = {
            name: {key.partition("/")[0] for key in keys(rows)}
            for name, rows in Taskonomy(root).with_seed(seed).splits().items()
        }
        assert sorted(building for part in own.values() for building in part) == [
            "allensville",
            "beechwood",
            "coffeen",
            "darden",
        ]
        drawn.add((*own["validation"], *own["test"]))
    assert len(drawn) > 2
    assert len(wrote) == 8


def test_buildings_may_be_named(folder):
    root, _ = folder
    source = Taskonomy(root, validation=("coffeen",), test=("allensville",))
    assert keys(source.splits()["train"]) == [
        f"{building}/point_7_view_{view}" for building in ("beechwood", "darden") for view in (0, 1)
    ]
    assert keys(source.splits()["test"]) == ["allensville/point_7_view_0", "allensville/point_7_view_1"]
    named = Taskonomy(root, train=("darden",), validation=("coffeen",), test=("allensville",))
    assert {key[:6] for key in keys(named.splits()["train"])} == {"darden"}


def test_views_without_a_label_are_unlabelled_rows_of_a_partial_task(tmp_path):
    taskonomy(tmp_path)
    assert not any(target.partial for target in Taskonomy(tmp_path).targets)
    for domain, name in [("segment_semantic", "segmentsemantic"), ("edge_texture", "edge_texture")]:
        (tmp_path / domain / "darden" / f"point_7_view_1_domain_{name}.png").unlink()
    source = Taskonomy(tmp_path, size=(8, 4), validation=("coffeen",), test=("darden",))
    partial = {target.name: target.partial for target in source.targets}
    assert source.targets is source.targets  # looked up once
    with pytest.raises(ValueError, match=r"unknown task 'edge', expected names among .*; did you mean 'edges'"):
        source.splits()["test"].only(["edge"])
    assert partial == {"segmentation": True, "depth": False, "normals": False, "keypoints": False, "edges": True}
    rows = source.splits()["test"]
    assert rows.targets["edges"].partial
    _, targets = rows.rows(slice(None))
    assert (targets["segmentation"][1] == -100).all()
    assert targets["edges"][1].isnan().all()
    assert not (targets["segmentation"][0] == -100).all()
    assert not targets["edges"][0].isnan().any()
    assert not targets["keypoints"].isnan().any()


def test_the_level_of_todays_download_is_found_too(tmp_path):
    taskonomy(tmp_path, buildings=("a", "b", "c"), views=1, size=4)
    for folder in list(tmp_path.iterdir()):
        inner = folder.rename(tmp_path / "inner")
        folder.mkdir()
        inner.rename(folder / "taskonomy")
    assert len(Taskonomy(tmp_path).splits()["train"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation": ("x",), "test": ("darden",)}, "rgb has no images of 'x', expected all that are named"),
        ({"validation": ("darden",), "test": ("darden",)}, "'darden' is named twice, expected it in one split"),
        ({"validation": ("allensville", "beechwood"), "test": ("coffeen", "darden")}, "left for the train rows"),
        ({"validation": (), "test": ("darden",)}, "left for the validation rows"),
        ({"validation": ("darden",)}, "are a list and a share, expected buildings for both, or shares"),
        ({"train": ("darden",)}, "expected lists for validation and test, too"),
        ({"validation": 0.7, "test": 0.4}, "expected each above 0 and less than 1 in sum"),
        ({"tasks": ("offsets",)}, "no task 'offsets', expected some of segmentation, depth, normals, keypoints, edges"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, options, said):
    with pytest.raises(ValueError, match=said):
        Taskonomy(folder[0], **options).splits()


def test_missing_and_mixed_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="rgb is missing, expected Taskonomy as downloaded: a folder for each domain"):
        Taskonomy(tmp_path).splits()
    taskonomy(tmp_path, buildings=("a", "b"), views=1, size=4)
    with pytest.raises(ValueError, match="of 2 buildings, expected at least 3: no buildings may be in two splits"):
        Taskonomy(tmp_path).splits()
    extra = tmp_path / "normal" / "a" / "point_9_view_9_domain_rgb.png"
    save8(extra, np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"normal has files that end with _domain_normal.png and _domain_rgb.png"):
        _ = Taskonomy(tmp_path).targets
    extra.unlink()
    for building in ("a", "b"):
        (tmp_path / "edge_texture" / building).rename(tmp_path / "edge_texture" / f"old-{building}")
    with pytest.raises(ValueError, match=r"edge_texture has no label for any image of .*rgb, expected Taskonomy as"):
        _ = Taskonomy(tmp_path).targets
    for building in ("a", "b"):
        next((tmp_path / "rgb" / building).iterdir()).unlink()
    with pytest.raises(ValueError, match="rgb has no images, expected Taskonomy as downloaded"):
        _ = Taskonomy(tmp_path).targets


def test_labels_that_are_none_are_refused(tmp_path):
    taskonomy(tmp_path, buildings=("a", "b", "c"), views=1, size=4)
    path = tmp_path / "segment_semantic/a/point_7_view_0_domain_segmentsemantic.png"
    save8(path, np.full((4, 4), 18))
    rows = Taskonomy(tmp_path, validation=("b",), test=("a",)).splits()["test"]
    with pytest.raises(ValueError, match=rf"{path} has label 18, expected 0 to 17"):
        rows.rows(slice(None))
    images, targets = rows.only(["depth"]).rows(slice(None))
    assert images.dtype == targets["depth"].dtype == torch.float32
