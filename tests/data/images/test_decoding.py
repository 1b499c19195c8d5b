"""A file that cannot be read is named, with what was expected, in a line."""

import numpy as np
import pytest
from PIL import Image

from counterpoint.data.images.decoding import height_and_width, read_array, read_grey8, read_grey16, read_rgb

from .layouts import save8, save16

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def test_what_was_saved_is_read(tmp_path):
    save8(tmp_path / "rgb.png", COLOUR)
    save8(tmp_path / "grey.png", GREY)
    save16(tmp_path / "deep.png", GREY.astype(np.uint16) * 5000)
    Image.fromarray(GREY, "L").quantize(16).save(tmp_path / "palette.png")
    assert np.array_equal(read_rgb(tmp_path / "rgb.png"), COLOUR)
    assert np.array_equal(read_grey8(tmp_path / "grey.png"), GREY)
    assert read_grey8(tmp_path / "palette.png").max() < 16  # of a palette, the index
    deep = read_grey16(tmp_path / "deep.png")
    assert deep.dtype == np.int32
    assert np.array_equal(deep, GREY.astype(int) * 5000)
    assert height_and_width(tmp_path / "deep.png") == (3, 4)


def test_arrays_are_read_with_channels_first_however_they_were_saved(tmp_path):
    np.save(tmp_path / "last.npy", COLOUR)
    np.save(tmp_path / "first.npy", np.moveaxis(COLOUR, -1, 0))
    np.save(tmp_path / "flat.npy", GREY)
    for name in ("last", "first"):
        assert np.array_equal(read_array(tmp_path / f"{name}.npy", channels=3), np.moveaxis(COLOUR, -1, 0))
        assert height_and_width(tmp_path / f"{name}.npy") == (3, 4)
    assert np.array_equal(read_array(tmp_path / "flat.npy"), GREY)


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (read_rgb, GREY, "has mode 'L', expected an RGB picture"),
        (read_grey8, COLOUR, "has mode 'RGB', expected a picture with one channel of 8 bits"),
        (read_grey16, GREY, "has mode 'L', expected a picture with one channel of 16 bits"),
        (read_rgb, "cut", "cannot be read, expected an RGB picture: "),
        (read_grey8, "no picture", "cannot be read, expected a picture with one channel of 8 bits: "),
        (read_grey16, "", "cannot be read, expected a picture with one channel of 16 bits: "),
        (height_and_width, "no picture", "cannot be read, expected a picture: "),
        (read_rgb, None, "is missing, expected an RGB picture"),
        (height_and_width, None, "is missing, expected a picture"),
    ],
)
def test_pictures(tmp_path, read, content, said):
    path = tmp_path / "picture.png"
    if content is None:
        pass
    elif isinstance(content, str):
        save8(path, np.random.default_rng(0).integers(0, 256, (40, 40, 3)))
        path.write_bytes(path.read_bytes()[:2000] if content == "cut" else content.encode())
    else:
        save8(path, content)
    with pytest.raises(ValueError, match=said) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "channels", "said"),
    [
        (COLOUR, None, r"has shape \[3, 4, 3\], expected \[H, W\]"),
        (GREY, 3, r"has shape \[3, 4\], expected \[H, W, 3\] or \[3, H, W\]"),
        (np.array([["a"]]), None, "has no array of numbers, expected one saved by numpy.save"),
        (np.array([None]), None, "cannot be read, expected an array of numbers saved by numpy: "),
        ("cut", None, "cannot be read, expected an array of numbers saved by numpy: "),
        ("", None, "cannot be read, expected an array of numbers saved by numpy: "),
        (None, None, "is missing, expected an array of numbers saved by numpy"),
    ],
)
def test_arrays(tmp_path, content, channels, said):
    path = tmp_path / "0.npy"
    if isinstance(content, str):
        np.save(path, np.zeros((50, 50)))
        path.write_bytes(path.read_bytes()[:900] if content else b"")
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    for reads in (read_array, height_and_width):
        with pytest.raises(ValueError, match=said) as caught:
            reads(path, channels)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
