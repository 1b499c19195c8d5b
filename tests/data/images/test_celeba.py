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
        (lambda root: (root / "img_align_celeba/000002.jpg").unlink(), "img_align_celeba has no 000002.jpg"),
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
    with pytest.raises(ValueError, match=r"has no attribute 'Smilling': did you mean 'Smiling'\?"):
        CelebA(folder[0], attributes=("Smilling",)).splits()
    with pytest.raises(ValueError, match="expected each once"):
        _ = CelebA(folder[0], attributes=("Bald", "Bald")).targets
