"""Rows that are decoded when asked are the rows of a split in memory, in the same order."""

import gc
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from counterpoint.data import Split
from counterpoint.data.images import Augmentation, Cityscapes, ImageRows, ImageTarget
from counterpoint.data.images.columns import Decoded, Files, Known

from .layouts import cityscapes

SMILING = ImageTarget("smiling", "binary")
DEPTH = ImageTarget("depth", "depth", unit="m")


def numbered(count, **options):
    """Row n is black but for what is 0.1 n bright; depth is random."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).contiguous()
    depth = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = {"smiling": Known(torch.arange(count) % 2), "depth": Known(depth)}
    return ImageRows(Known(images), labels, {"smiling": SMILING, "depth": DEPTH}, **options)


def numbers(batch):
    return batch[0][:, 0, 0, 0].mul(255).round().int().tolist()


@given(
    st.integers(1, 30),
    st.integers(1, 9),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(0, 5)),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_the_order_is_that_of_a_split_with_as_many_rows(count, size, ranks, seed, starts):
    split = Split(torch.arange(count), {})
    if ranks > size:
        with pytest.raises(ValueError, match=f"shares batches of {size} rows"):
            numbered(count).batches(size, ranks=ranks)
        return
    for rank in range(ranks):
        ours = numbered(count).batches(size, shuffle_seed=seed, rank=rank, ranks=ranks)
        theirs = split.batches(size, shuffle_seed=seed, rank=rank, ranks=ranks)
        assert len(ours) == len(theirs)
        for start in [None, None, *starts]:
            if start is not None:
                ours.start_at(start)
                theirs.start_at(start)
            assert [numbers(batch) for batch in ours] == [inputs.tolist() for inputs, _ in theirs]


def test_some_rows_and_some_tasks():
    rows = numbered(9)
    split = Split(torch.arange(9), {})
    assert numbers(rows.drawn(4).rows(slice(None))) == split.drawn(4).inputs.tolist()
    assert numbers(rows.drawn(6).drawn(3).rows(slice(None))) == split.drawn(6).drawn(3).inputs.tolist()
    assert len(rows.drawn(100)) == 9
    only = rows.only(["depth"])
    assert list(only.targets) == list(only.labels) == ["depth"]
    assert numbers(rows.rows(torch.tensor([7, 2, 2]))) == [7, 2, 2]
    assert numbers(rows.rows(torch.arange(9) > 6)) == [7, 8]
    images, targets = rows.rows(slice(2, 4))
    assert images.dtype == torch.float32
    assert targets["smiling"].tolist() == [0, 1]


def test_rows_are_a_dataset_of_torch():
    rows = numbered(5)
    image, targets = rows[3]
    assert image.shape == (3, 8, 8)
    assert targets["smiling"] == 1
    assert torch.equal(rows[-1][0], rows[4][0])
    with pytest.raises(IndexError):
        rows[5]
    assert len(list(iter(rows.__getitem__(row)[0] for row in range(len(rows))))) == 5
    batches = list(DataLoader(rows, batch_size=2))
    assert [batch["smiling"].tolist() for _, batch in batches] == [[0, 1], [0, 1], [0]]


def test_nothing_is_decoded_that_is_not_asked_for(tmp_path):
    read = []

    def note(path):
        read.append(path.name)
        return torch.zeros((3, 4, 4), dtype=torch.uint8) if "image" in path.name else torch.zeros(1, 4, 4)

    keys = ("0", "1", "2")
    rows = ImageRows(
        Decoded(Files(tmp_path, keys, "-image"), note, (4, 4)),
        {
            "depth": Decoded(Files(tmp_path, keys, "-depth"), note, (4, 4), DEPTH),
            "more": Decoded(Files(tmp_path, keys, "-more"), note, (4, 4), DEPTH),
        },
        {"depth": DEPTH, "more": DEPTH},
    )
    assert len(rows.only(["more"]).identity) == len(rows.identity) == 16
    assert read == []
    rows.only(["more"]).rows(slice(1, 2))
    assert read == ["1-image", "1-more"]
    read.clear()
    list(rows.only(["depth"]).batches(2, rank=1, ranks=2))
    assert read == ["1-image", "1-depth"]
    read.clear()
    batches = iter(rows.batches(1, shuffle_seed=0))
    next(batches)
    assert len(read) == 3


AUGMENTED = Augmentation(scales=(1.0, 1.5), flip=True, rotate=20)


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("streets")
    cityscapes(root)
    return root


def seen(batches, passes=1):
    """Each pass as one list of numbers a row."""
    found = []
    for _ in range(passes):
        found.append([])
        for images, targets in batches:
            found[-1] += [
                torch.cat([images[row].flatten(), *(own[row].flatten().float() for own in targets.values())])
                .nan_to_num(-1)
                .tolist()
                for row in range(len(images))
            ]
    return found


def test_pictures_depend_on_the_seed_the_pass_and_the_row_only(streets):
    rows = Cityscapes(streets, size=(16, 32), augmentation=AUGMENTED).splits()["train"]
    whole = seen(rows.batches(4, shuffle_seed=7), 3)
    again = rows.batches(4, shuffle_seed=7)
    again.start_at(2)
    assert seen(again) == whole[2:]
    shares = [seen(rows.batches(4, shuffle_seed=7, rank=rank, ranks=2), 3) for rank in range(2)]
    for number in range(3):
        assert sorted(shares[0][number] + shares[1][number]) == sorted(whole[number])
    # Other batches, the same pictures: here all rows in one.
    assert seen(rows.batches(9, shuffle_seed=7), 3)[1] == whole[1]
    pictures = {tuple(row) for each in (*whole, *seen(rows.batches(4, shuffle_seed=8))) for row in each}
    assert len(pictures) == 4 * len(rows)  # all of them others, but that two may agree by chance


def test_evaluation_sees_pictures_as_they_are(streets):
    plain = Cityscapes(streets, size=(16, 32)).splits()["train"]
    augmented = Cityscapes(streets, size=(16, 32), augmentation=AUGMENTED).splits()["train"]
    assert seen(augmented.batches(3)) == seen(plain.batches(3)) == seen([plain.rows(slice(None))])
    assert seen(augmented.batches(3, shuffle_seed=0)) != seen(plain.batches(3, shuffle_seed=0))
    assert augmented.identity != plain.identity


def test_what_other_processes_decode_is_what_this_one_would(streets):
    own = {"size": (16, 32), "augmentation": AUGMENTED, "tasks": ("segmentation", "depth")}
    one = Cityscapes(streets, **own).splits()["train"].batches(2, shuffle_seed=3)
    many = Cityscapes(streets, workers=2, **own).splits()["train"].batches(2, shuffle_seed=3)
    torch.manual_seed(0)
    expected = seen(one, 3)
    state = torch.get_rng_state()
    assert seen(many, 2) == expected[:2]
    processes = {own.pid for own in many._ahead[0]._iterator._workers}
    partly = iter(many)  # a pass that ends early, and one beside it
    next(partly)
    many.start_at(2)
    assert seen(many) == expected[2:]
    partly.close()
    many.start_at(2)
    assert seen(many) == expected[2:]
    assert {own.pid for own in many._ahead[0]._iterator._workers} == processes  # they stay
    workers, cycle = list(many._ahead[0]._iterator._workers), [many]
    cycle.append(cycle)
    del many, cycle, partly
    gc.collect()
    assert [own.exitcode for own in workers] == [0, 0]  # they end by themselves, also when the collector comes
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn from the training's generator
    # A file that breaks meanwhile: the error is that of one process, in a line.
    path = next((streets / "disparity" / "train").rglob("*.png"))
    content = path.read_bytes()
    rows = Cityscapes(streets, workers=1, size=(16, 32)).splits()
    path.write_bytes(b"")
    try:
        number = list(rows["train"].image.files.keys).index(f"{path.parent.name}/{path.name[:-14]}")
        broken = replace(rows["train"], chosen=torch.tensor([number]))
        with pytest.raises(ValueError, match=f"^{path} cannot be read, expected a picture with one channel") as caught:
            list(broken.batches(2))
        assert "\n" not in str(caught.value)
    finally:
        path.write_bytes(content)


def test_another_process_can_have_them(streets):
    rows = Cityscapes(streets, size=(16, 32), cache=streets / "kept").splits()["train"]
    expected = seen([rows.rows(slice(None))])
    content = pickle.dumps(rows)
    assert len(content) < 10_000  # where the rows are, not the rows
    assert seen([pickle.loads(content).rows(slice(None))]) == expected  # noqa: S301


def test_identity_is_another_one_for_other_rows(streets):
    source = Cityscapes(streets, size=(16, 32), seed=1)
    rows = source.splits()["train"]
    assert (
        rows.identity == Cityscapes(streets, size=(16, 32), seed=1, workers=3, cache=streets).splits()["train"].identity
    )
    others = [
        rows.only(["depth"]),
        rows.drawn(2),
        source.splits()["test"],
        Cityscapes(streets, size=(8, 16), seed=1).splits()["train"],
        Cityscapes(streets, size=(16, 32), seed=1, classes=7).splits()["train"],
    ]
    assert len({rows.identity, *(other.identity for other in others)}) == 6


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="task 'smiling' has 3 targets, expected 4, one an image"):
        ImageRows(Known(torch.zeros(4, 3, 2, 2)), {"smiling": Known(torch.zeros(3))}, {"smiling": SMILING})
    with pytest.raises(ValueError, match="-1 workers read images, expected 0 or more"):
        numbered(2, workers=-1)
    assert np.isfinite(numbered(2).rows(slice(0, 0))[0].numpy()).all()
