"""Kept rows are the rows; they are kept whole or not at all, and a file that changes is noticed."""

import errno
import os
import threading
from functools import partial

import numpy as np
import pytest
import torch

from counterpoint.data.images import CelebA, Cityscapes, ImageTarget
from counterpoint.data.images.cache import Cached
from counterpoint.data.images.columns import Decoded, Files

from .layouts import celeba, cityscapes

DEPTH = ImageTarget("depth", "depth", unit="m")
KEYS = tuple(map(str, range(7)))


class Numbers:
    """Files that hold a number, and a count of how often they are read."""

    def __init__(self, folder):
        self.folder, self.read = folder, []
        folder.mkdir()
        for key in KEYS:
            (folder / key).write_text(key)

    def number(self, path):
        self.read.append(path.name)
        return torch.full((1, 3, 4), float(path.read_text()))

    def double(self, path):
        return 2 * self.number(path)

    def times(self, path, factor):
        return factor * self.number(path)

    def column(self, absent=()):
        return Decoded(Files(self.folder, KEYS, "", frozenset(absent)), self.number, (3, 4), DEPTH)


@pytest.fixture
def files(tmp_path):
    return Numbers(tmp_path / "files")


def values(column):
    return column.rows(range(len(KEYS)))[:, 0, 0, 0].tolist()


def test_rows_are_the_same_with_and_without(tmp_path):
    cityscapes(tmp_path / "streets")
    celeba(tmp_path / "faces")
    options = {"size": (8, 16), "target_stride": 2}
    for make in (
        lambda **own: Cityscapes(tmp_path / "streets", **options, **own),
        lambda **own: CelebA(tmp_path / "faces", size=8, **own),
    ):
        plain, kept = make().splits(), make(cache=tmp_path / "kept").splits()
        again = make(cache=tmp_path / "kept", workers=2).splits()
        for name, rows in plain.items():
            images, targets = rows.rows(slice(None))
            for other in (kept[name], again[name]):
                other.prepare()
                own_images, own_targets = other.rows(slice(None))
                assert torch.equal(own_images, images)
                for task, expected in targets.items():
                    assert own_targets[task].dtype == expected.dtype
                    torch.testing.assert_close(own_targets[task], expected, rtol=0, atol=0, equal_nan=True)
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "kept").glob("*.npy"))
    assert names == sorted(
        [
            "celeba-image",
            *(f"cityscapes-{s}-{t}" for s in ("train", "val") for t in ("image", "segmentation", "offsets", "depth")),
        ]
    )
    image = np.load(next((tmp_path / "kept").glob("cityscapes-val-image-*.npy")))
    assert (image.dtype, image.shape) == (np.uint8, (2, 3, 8, 16))


def test_a_file_is_read_once_and_kept_for_others(tmp_path, files):
    first, second = (Cached(files.column(absent=[2]), tmp_path / "kept", "depth") for _ in range(2))
    assert not (tmp_path / "kept").exists()
    expected = [0.0, 1.0, pytest.approx(float("nan"), nan_ok=True), 3.0, 4.0, 5.0, 6.0]
    assert values(first) == expected
    count = len(files.read)
    assert sorted(set(files.read)) == [key for key in KEYS if key != "2"]
    assert values(first) == expected
    assert values(second) == expected
    assert len(files.read) == count
    assert first.identity == files.column(absent=[2]).identity


@pytest.mark.parametrize("change", ["size", "time", "more", "size of rows"])
def test_a_change_is_noticed(tmp_path, files, change):
    values(Cached(files.column(), tmp_path / "kept", "depth"))
    column, expected = files.column(), [float(key) for key in KEYS]
    if change == "size":
        before = (files.folder / "3").stat()
        (files.folder / "3").write_text("33")
        os.utime(files.folder / "3", ns=(before.st_atime_ns, before.st_mtime_ns))
        expected[3] = 33.0
    elif change == "time":
        (files.folder / "3").write_text("9")
        os.utime(files.folder / "3", ns=(1, 1))
        expected[3] = 9.0
    elif change == "more":
        (files.folder / "7").write_text("7")
        column = Decoded(Files(files.folder, (*KEYS, "7")), files.number, (3, 4), DEPTH)
    else:
        column = Decoded(column.files, files.number, (6, 4), DEPTH)
    new = Cached(column, tmp_path / "kept", "depth")
    assert values(new) == expected
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 2
    assert new.rows([0]).shape[-2:] == column.size


def test_of_two_that_come_at_once_one_makes_it(tmp_path, files):
    columns = [Cached(files.column(), tmp_path / "kept", "depth") for _ in range(4)]
    start, found = threading.Barrier(4), []

    def ask(column):
        start.wait()
        found.append(values(column))

    threads = [threading.Thread(target=ask, args=(column,)) for column in columns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[float(key) for key in KEYS]] * 4
    assert len(files.read) == len(KEYS) + 1  # the first one tells the shape


def test_nothing_half_made_is_left(tmp_path, files):
    (files.folder / "5").write_text("no number")
    column = Cached(files.column(), tmp_path / "kept", "depth")
    with pytest.raises(ValueError, match="could not convert string to float"):
        values(column)
    assert list((tmp_path / "kept").glob("*.npy")) == []
    assert [path.name for path in (tmp_path / "kept").iterdir() if not path.name.endswith(".lock")] == []
    (files.folder / "5").write_text("5")
    assert values(Cached(files.column(), tmp_path / "kept", "depth"))[5] == 5.0


def test_what_a_killed_process_left_is_cleared_away(tmp_path, files):
    column = Cached(files.column(), tmp_path / "kept", "depth")
    (tmp_path / "kept").mkdir()
    other = tmp_path / "kept" / ".depth-0123456789abcdef.npy.x1y2z3"  # which somebody may be writing just now
    for part in (tmp_path / "kept" / f".{column.path.name}.a1b2c3", other):
        part.write_bytes(b"half of it")
    values(column)
    assert sorted((tmp_path / "kept").iterdir()) == sorted([other, column.path, column.path.with_suffix(".lock")])


def test_a_kept_file_that_is_broken_is_made_again(tmp_path, files):
    column = Cached(files.column(), tmp_path / "kept", "depth")
    expected = values(column)
    for content in (b"", column.path.read_bytes()[:150]):
        column.path.write_bytes(content)
        assert values(Cached(files.column(), tmp_path / "kept", "depth")) == expected


def test_a_file_that_went_missing_is_named(tmp_path, files):
    (files.folder / "4").unlink()
    with pytest.raises(ValueError, match=f"^{files.folder / '4'} is missing, expected a file for each row$"):
        values(Cached(files.column(), tmp_path / "kept", "depth"))


def test_what_another_reader_makes_of_the_files_is_kept_apart(tmp_path, files):
    made = [
        (files.number, 1.0),
        (files.double, 2.0),
        (partial(files.times, factor=3.0), 3.0),
        (partial(files.times, factor=4.0), 4.0),
    ]
    for read, factor in made:
        column = Decoded(Files(files.folder, KEYS), read, (3, 4), DEPTH)
        assert values(Cached(column, tmp_path / "kept", "depth")) == [factor * float(key) for key in KEYS]


def test_a_full_disk_is_an_error_before_it_would_end_the_process(tmp_path, files, monkeypatch):
    def full(handle, start, size):
        assert (start, size) == (0, os.fstat(handle).st_size)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=f"^{tmp_path / 'kept'} has no room for 0 MB of decoded rows, expected a cache"):
        values(Cached(files.column(), tmp_path / "kept", "depth"))
    assert [path.name for path in (tmp_path / "kept").iterdir() if not path.name.endswith(".lock")] == []

    def cannot(*_):  # a file system that knows no reservations
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot, raising=False)
    assert values(Cached(files.column(), tmp_path / "kept", "depth")) == [float(key) for key in KEYS]


def test_a_cache_in_the_home_folder_is_there(tmp_path, monkeypatch):
    celeba(tmp_path / "faces")
    monkeypatch.setenv("HOME", str(tmp_path))
    CelebA("~/faces", size=8, cache="~/kept").splits()["test"].rows(slice(0, 1))
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 1
