"""A bundle is written completely or not at all, and takes nobody else's place."""

import errno
from pathlib import Path

import pytest

from counterpoint.serving import BundleError, load_bundle, write, write_bundle


def test_an_earlier_bundle_is_replaced(written, tmp_path):
    folder = written.copy(tmp_path / "bundle")
    (folder / "network-7.safetensors").write_bytes(b"from a larger grouping")
    write_bundle(folder, written.bundle)
    assert load_bundle(folder).tasks == written.bundle.tasks
    assert not (folder / "network-7.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_damaged_bundle_can_be_replaced(written, tmp_path):
    folder = written.copy(tmp_path / "bundle")
    (folder / "bundle.json").write_text("half of")
    write_bundle(folder, written.bundle)
    assert load_bundle(folder).tasks == written.bundle.tasks


def test_an_empty_folder_is_filled(written, tmp_path):
    (tmp_path / "bundle").mkdir()
    write_bundle(tmp_path / "bundle", written.bundle)
    assert load_bundle(tmp_path / "bundle").tasks == written.bundle.tasks


@pytest.mark.parametrize("with_bundle", [False, True])
def test_a_folder_with_anything_else_is_refused_and_left_alone(written, tmp_path, with_bundle):
    folder = written.copy(tmp_path / "bundle") if with_bundle else tmp_path / "bundle"
    folder.mkdir(exist_ok=True)
    (folder / "thesis.tex").write_text("ten years")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(BundleError, match=r"holds 'thesis.tex' .*choose another folder"):
        write_bundle(folder, written.bundle)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_file_or_a_link_is_refused(written, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(written.copy(tmp_path / "bundle"))
    for name in ("file", "link"):
        with pytest.raises(BundleError, match="is a file or a link"):
            write_bundle(tmp_path / name, written.bundle)


@pytest.mark.parametrize("method", ["write_bytes", "rename"])
def test_a_full_disk_leaves_the_earlier_bundle(written, tmp_path, monkeypatch, method):
    folder = written.copy(tmp_path / "bundle")
    real = getattr(Path, method)

    def full(path, *arguments):
        if method == "rename" and path.parent != tmp_path:  # the earlier bundle comes back
            return real(path, *arguments)
        if method == "rename" and path == folder:
            return real(path, *arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, method, full)
        with pytest.raises(BundleError, match=r"cannot write a bundle to '.*bundle': No space left on device"):
            write_bundle(folder, written.bundle)
    assert load_bundle(folder).tasks == written.bundle.tasks
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_cannot_be_made_is_said(written):
    with pytest.raises(BundleError, match=r"cannot write a bundle to '/dev/null/bundle': .*; choose another folder"):
        write_bundle("/dev/null/bundle", written.bundle)


def test_an_unfinished_bundle_is_never_seen(written, tmp_path, monkeypatch):
    seen = []
    real = write.write_weights

    def watch(path, model):
        seen.append((tmp_path / "bundle").exists())
        return real(path, model)

    monkeypatch.setattr(write, "write_weights", watch)
    write_bundle(tmp_path / "bundle", written.bundle)
    assert seen == [False, False]
