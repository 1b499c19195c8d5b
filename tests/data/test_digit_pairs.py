"""Digit pairs: the same for a seed, and no digit in two splits."""

import numpy as np
import pytest
import torch

from counterpoint.data import DigitPairs, Split
from counterpoint.data.digit_pairs import _digits

SMALL = DigitPairs(train_rows=600, validation_rows=200, test_rows=300)


def test_deterministic_per_seed():
    first, again = SMALL.splits(), SMALL.splits()
    other = DigitPairs(600, 200, 300, seed=1).splits()
    for name in ("train", "validation", "test"):
        assert torch.equal(first[name].inputs, again[name].inputs)
        assert torch.equal(first[name].targets["left"], again[name].targets["left"])
        assert not torch.equal(first[name].inputs, other[name].inputs)
    assert {name: len(split) for name, split in first.items()} == {"train": 600, "validation": 200, "test": 300}


def test_no_digit_image_serves_two_splits():
    images, labels = _digits()
    # Where the other digit cannot reach, the canvas shows the digit as it is: 8 rows at the top, 8 at the bottom.
    known = {}
    for index, image in enumerate(images):
        known.setdefault(image[:8].tobytes(), set()).add(index)
    used = {}
    for name, split in SMALL.splits().items():
        used[name] = set()
        for canvas, label in zip(split.inputs[:, 0].numpy(), split.targets["left"].tolist(), strict=True):
            candidates = {i for i in known[canvas[:8, :28].tobytes()] if labels[i] == label}
            exact = {i for i in candidates if (canvas[:28, :28] >= images[i]).all()}
            assert exact, "the canvas must contain its left digit"
            if len(exact) == 1:
                used[name] |= exact
    assert all(len(indices) > 100 for indices in used.values())
    assert not used["train"] & used["validation"]
    assert not used["train"] & used["test"]
    assert not used["validation"] & used["test"]


def test_canvas_holds_both_digits():
    split = SMALL.splits()["train"]
    assert split.inputs.shape == (600, 1, 36, 36)
    assert split.inputs.dtype == torch.uint8
    assert split.inputs[:, 0, :8, 28:].max() == 0  # the corners that neither digit reaches
    assert split.inputs[:, 0, 28:, :8].max() == 0
    for task in ("left", "right"):
        assert np.bincount(split.targets[task], minlength=10).min() > 20


def test_batches_cover_every_row_once_in_a_new_order_each_pass():
    split = Split(torch.arange(10).float(), {"a": torch.arange(10)})
    batches = split.batches(4, shuffle_seed=3)
    passes = [torch.cat([targets["a"] for _, targets in batches]).tolist() for _ in range(2)]
    assert len(batches) == 3
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(10))
    assert passes[0] != passes[1]
    again = split.batches(4, shuffle_seed=3)
    assert torch.cat([targets["a"] for _, targets in again]).tolist() == passes[0]


def test_images_are_scaled_batch_by_batch():
    split = Split(torch.full((2, 1, 3, 3), 255, dtype=torch.uint8), {"a": torch.zeros(2)})
    inputs, _ = split.rows(slice(1))
    assert inputs.dtype == torch.float32
    assert inputs.max() == 1
    assert split.inputs.max() == 255
    assert list(split.only(["a"]).targets) == ["a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DigitPairs(train_rows=0).splits(), "train_rows is 0, expected at least 1"),
        (lambda: DigitPairs(seed=-1).splits(), "seed is -1, expected at least 0"),
        (lambda: Split(torch.zeros(3), {"a": torch.zeros(2)}), "'a' has 2 targets, expected 3"),
        (lambda: Split(torch.zeros(3), {}).batches(0), "batch size is 0"),
    ],
)
def test_bad_arguments_get_one_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()
