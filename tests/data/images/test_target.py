import pytest

from counterpoint.data.images import ImageTarget


@pytest.mark.parametrize(
    ("kind", "channels"), [("binary", 1), ("offsets", 2), ("depth", 1), ("normals", 3), ("map", 1)]
)
def test_a_head_has_as_many_channels_as_the_kind(kind, channels):
    assert ImageTarget("a", kind).outputs == channels
    assert ImageTarget("a", kind).dense == (kind != "binary")


def test_a_segmentation_has_a_channel_for_each_class():
    assert ImageTarget("a", "segmentation", classes=("x", "y", "z")).outputs == 3


@pytest.mark.parametrize(
    ("kind", "classes", "said"),
    [
        ("segments", (), "'segments', expected one of"),
        ("segmentation", ("one",), "1 classes, expected at least 2"),
        ("depth", ("one", "two"), "has no classes"),
    ],
)
def test_targets_that_make_no_sense_are_refused(kind, classes, said):
    with pytest.raises(ValueError, match=said):
        ImageTarget("a", kind, classes=classes)
