"""What people and config files write for the options of a source."""

import pickle

import pytest

from counterpoint.data.images import Augmentation, CelebA, Cityscapes, NYUv2, Taskonomy

SOURCES = [
    (CelebA, {"size": [8, 6], "attributes": ["Bald", "Young"], "augmentation": Augmentation(scales=[1.0, 1.5])}),
    (Cityscapes, {"size": [8, 16], "tasks": ["depth"]}),
    (NYUv2, {"size": [8, 16], "tasks": ["depth", "normals"]}),
    (Taskonomy, {"size": [8, 8], "tasks": ["edges"], "train": ["a"], "validation": ["b"], "test": ["c", "d"]}),
]


@pytest.mark.parametrize(("kind", "options"), SOURCES)
def test_lists_are_as_good_as_tuples(tmp_path, kind, options):
    source = kind(tmp_path, **options)
    plain = kind(tmp_path, **{name: tuple(own) if isinstance(own, list) else own for name, own in options.items()})
    assert source == plain
    assert hash(source) == hash(plain)
    assert repr(source) == repr(plain)  # which says what it is
    assert pickle.loads(pickle.dumps(source)) == plain  # noqa: S301


@pytest.mark.parametrize("kind", [kind for kind, _ in SOURCES])
@pytest.mark.parametrize("size", [0, (8, 0), (8, 8, 8), (8,), [8.5, 8], "88"])
def test_a_size_is_two_numbers_of_pixels(tmp_path, kind, size):
    with pytest.raises(ValueError, match=r"^size is .*, expected (height and width in pixels|a list)$"):
        kind(tmp_path, size=size)


def test_a_number_is_the_size_of_squares_for_faces_only(tmp_path):
    assert CelebA(tmp_path, size=8).size == 8
    with pytest.raises(ValueError, match=r"^size is 8, expected height and width in pixels$"):
        Cityscapes(tmp_path, size=8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: CelebA(root, attributes="Bald"), "attributes is 'Bald', expected a list"),
        (lambda root: NYUv2(root, tasks="depth"), "tasks is 'depth', expected a list"),
        (lambda root: Taskonomy(root, validation="a", test=["b"]), "validation is 'a', expected a list"),
        (lambda _: Augmentation(scales="1.5"), "scales is '1.5', expected a list"),
    ],
)
def test_a_word_is_not_taken_for_its_letters(tmp_path, make, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        make(tmp_path)
