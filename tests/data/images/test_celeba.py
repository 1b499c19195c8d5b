"""CelebA's rows are what its three files say."""

import pickle

import pytest
import torch

from counterpoint.data.images import CelebA

from .layouts import NAMES, celeba


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("celeba")
    return root, celeba(root)


def test_rows_are_those_of_the_partition_with_the_attributes_of_the_file(folder):
    root, values = folder
    source = CelebA(root, size=(8, 6))
    assert [target.name for target in source.targets] == NAMES
    splits = source.splits()
    start = 0
    for name, count in [("train", 3), ("validation", 2), ("test", 3)]:
        images, targets = splits[name].rows(slice(None))
        assert images.shape == (count, 3, 8, 6)
        # JPEG keeps one colour to a level or so
        expected = (torch.arange(start, start + count) * 20 + 10.0) / 255
        torch.testing.assert_close(images.mean((1, 2, 3)), expected, atol=1.5 / 255, rtol=0)
        for column, attribute in enumerate(NAMES):
            assert targets[attribute].dtype == torch.int64
            assert targets[attribute].tolist() == values[start : start + count, column].tolist()
        start += count


def test_some_attributes_in_the_order_that_is_asked_for(folder):
    root, values = folder
    source = CelebA(root, attributes=("Young", "Bald"))
    assert [target.name for target in source.targets] == ["Young", "Bald"]
    _, targets = source.splits()["train"].rows(slice(None))
    assert list(targets) == ["Young", "Bald"]
    assert targets["Young"].tolist() == values[:3, 2].tolist()


def test_the_folders_of_the_download_are_found_too(tmp_path):
    values = celeba(tmp_path)
    for name, folder in [
        ("img_align_celeba", "Img"),
        ("list_attr_celeba.txt", "Anno"),
        ("list_eval_partition.txt", "Eval"),
    ]:
        (tmp_path / folder).mkdir()
        (tmp_path / name).rename(tmp_path / folder / name)
    _, targets = CelebA(tmp_path).splits()["test"].rows(slice(None))
    assert targets["Bald"].tolist() == values[5:, 0].tolist()


def as_kaggle_has_it(root):
    """Commas, one line of names above each list, and the images a level further down."""
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()
    rows = [f"image_id {lines[1]}", *lines[2:]]
    (root / "list_attr_celeba.csv").write_text("\n".join(",".join(row.split()) for row in rows) + "\n")
    rows = ["image_id partition", *(root / "list_eval_partition.txt").read_text().splitlines()]
    (root / "list_eval_partition.csv").write_text("\n".join(",".join(row.split()) for row in rows) + "\n")
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (root / name).unlink()
    (root / "img_align_celeba").rename(root / "inner")
    (root / "img_align_celeba").mkdir()
    (root / "inner").rename(root / "img_align_celeba" / "img_align_celeba")


def test_kaggles_copy_says_the_same(tmp_path, folder):
    root = tmp_path / "with a space"
    celeba(root)
    as_kaggle_has_it(root)
    kaggle, plain = CelebA(root, size=8), CelebA(folder[0], size=8)
    assert kaggle.targets == plain.targets
    for name, rows in plain.splits().items():
        images, targets = rows.rows(slice(None))
        own_images, own_targets = kaggle.splits()[name].rows(slice(None))
        assert torch.equal(own_images, images)
        assert {task: values.tolist() for task, values in own_targets.items()} == {
            task: values.tolist() for task, values in targets.items()
        }
    with pytest.raises(ValueError, match=r"list_attr_celeba.csv has no attribute 'Smilling'; did you mean 'Smiling'\?"):
        _ = CelebA(root, attributes=("Smilling",)).targets
    replaced(root, "list_attr_celeba.csv", "image_id,", "id,")
    with pytest.raises(
        ValueError, match=r"list_attr_celeba.csv begins with 'id Bald Smiling Young', expected image_id"
    ):
        _ = CelebA(root).targets


def test_a_list_that_an_editor_saved_with_a_byte_order_mark_is_read(tmp_path, folder):
    celeba(tmp_path)
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (tmp_path / name).write_text((tmp_path / name).read_text(), encoding="utf-8-sig", newline="\r\n")
    assert CelebA(tmp_path).targets == CelebA(folder[0]).targets
    assert [len(rows) for rows in CelebA(tmp_path).splits().values()] == [3, 2, 3]


@pytest.mark.parametrize("text", ["", "8\n", "8\n\n", "Bald Smiling Young\n000001.jpg 1 1 1\n"])
def test_attributes_without_names_are_refused_before_anything_is_built_for_them(tmp_path, text):
    celeba(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_text(text)
    for ask in (lambda source: source.targets, lambda source: source.splits()):
        with pytest.raises(ValueError, match=r"begins with '.*', expected the number of images, then the attributes"):
            ask(CelebA(tmp_path))


def test_a_root_that_is_a_level_off_is_told_where_the_files_are(tmp_path):
    celeba(tmp_path / "data" / "celeba")
    where = tmp_path / "data" / "celeba"
    for root in (where.parent, where / "img_align_celeba"):
        with pytest.raises(ValueError, match=rf"^{root}/list_attr_celeba.txt is missing, .*; {where} has list_attr_c"):
            _ = CelebA(root).targets


def test_a_source_is_a_description(folder):
    source = CelebA(folder[0], cache=folder[0] / "cache", workers=1)
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301
    assert hash(source) == hash(CelebA(folder[0], cache=folder[0] / "cache", workers=1))
    assert source.with_seed(3) == source
    assert "cache" not in repr(source)  # where and how it is decoded does not say what it is
    assert "workers" not in repr(source)


@pytest.mark.parametrize("name", ["img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"])
def test_what_is_missing_is_named(tmp_path, name):
    celeba(tmp_path)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=rf"^{tmp_path}/{name} is missing, expected CelebA as downloaded: .*$"):
        CelebA(tmp_path).splits()


def replaced(root, name, old, new):
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: (root / "img_align_celeba/000002.jpg").unlink(), "img_align_celeba has no 000002.jpg, expected"),
        (
            lambda root: (root / "img_align_celeba/000002.jpg").rename(root / "img_align_celeba/000002.JPG"),
            r"img_align_celeba has no 000002.jpg \(it has 000002.JPG\), expected every image of",
        ),
        (lambda root: replaced(root, "list_attr_celeba.txt", "000003.jpg", "other.jpg"), "no line for 000003.jpg"),
        (lambda root: replaced(root, "list_eval_partition.txt", "jpg 2", "jpg 0"), "no image with 2, .* the test rows"),
        (
            lambda root: replaced(root, "list_eval_partition.txt", "jpg 2", "jpg 3"),
            "line 6 is '000006.jpg 3', expected",
        ),
        (
            lambda root: replaced(root, "list_attr_celeba.txt", "8\n", "Bald\n"),
            "begins with 'Bald', expected the number",
        ),
        (
            lambda root: replaced(root, "list_attr_celeba.txt", "000004.jpg", "000004.jpg 1"),
            "line 6 has 4 values for 000",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused_in_a_line(tmp_path, spoil, said):
    celeba(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=said) as caught:
        CelebA(tmp_path).splits()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["0", "2", "-", "-11", "1 1"])
def test_values_other_than_1_and_minus_1_are_refused(tmp_path, wrong):
    celeba(tmp_path)
    lines = (tmp_path / "list_attr_celeba.txt").read_text().splitlines()
    lines[4] = f"000003.jpg  1 {wrong} -1"
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"line 5 has \d values for 000003.jpg, expected -1 or 1 for each of the 3"):
        CelebA(tmp_path).splits()


def test_an_attribute_that_is_not_in_the_file_is_refused_with_the_nearest_one(folder):
    with pytest.raises(ValueError, match=r"has no attribute 'Smilling'; did you mean 'Smiling'\?"):
        CelebA(folder[0], attributes=("Smilling",)).splits()
    with pytest.raises(ValueError, match="expected each once"):
        _ = CelebA(folder[0], attributes=("Bald", "Bald")).targets
