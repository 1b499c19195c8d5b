"""The order of pass n depends on the seed and n only; processes share each batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from counterpoint.data import Rows, Split


def rows(count):
    return Split(torch.arange(count), {"a": torch.arange(count) * 10})


def passes(batches, count):
    return [[inputs.tolist() for inputs, _ in batches] for _ in range(count)]


def test_pass_n_is_the_same_when_it_is_the_first_one_asked_for():
    whole = passes(rows(11).batches(4, shuffle_seed=7), 4)
    later = rows(11).batches(4, shuffle_seed=7)
    later.start_at(2)
    assert passes(later, 2) == whole[2:]
    later.start_at(1)
    assert passes(later, 1) == whole[1:2]
    assert whole[0] != whole[1]


def test_passes_that_run_at_once_do_not_mix():
    batches = rows(11).batches(4, shuffle_seed=7)
    first, second = zip(*zip(batches, batches, strict=True), strict=True)
    found = [[inputs.tolist() for inputs, _ in run] for run in (first, second)]
    assert found == passes(rows(11).batches(4, shuffle_seed=7), 2)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.one_of(st.none(), st.integers(0, 5)))
def test_shares_of_a_batch_make_up_the_batch(count, size, ranks, seed):
    if ranks > size:
        with pytest.raises(ValueError, match=f"shares batches of {size} rows, expected"):
            rows(count).batches(size, ranks=ranks)
        return
    whole = list(rows(count).batches(size, shuffle_seed=seed))
    shares = [list(rows(count).batches(size, shuffle_seed=seed, rank=rank, ranks=ranks)) for rank in range(ranks)]
    kept = [batch for batch in whole if len(batch[0]) >= ranks]
    assert {len(own) for own in shares} == {len(kept)}
    assert {len(rows(count).batches(size, rank=rank, ranks=ranks)) for rank in range(ranks)} == {len(kept)}
    for step, (inputs, targets) in enumerate(kept):
        own = [share[step] for share in shares]
        assert sorted(torch.cat([x for x, _ in own]).tolist()) == sorted(inputs.tolist())
        assert all(torch.equal(y["a"], 10 * x) for x, y in own)
        sizes = [len(x) for x, _ in own]
        assert max(sizes) - min(sizes) <= 1
        assert torch.equal(targets["a"], 10 * inputs)


def test_an_unknown_task_is_told():
    split = Split(torch.zeros(3, 2), {"price": torch.zeros(3)})
    with pytest.raises(
        ValueError, match=r"unknown task 'prize', expected names among \['price'\]; did you mean 'price'"
    ):
        split.only(["prize"])


def test_rows_by_number_by_mask_and_by_slice_agree():
    split = Split(torch.randint(0, 255, (6, 2), dtype=torch.uint8), {"a": torch.rand(6, 3)})
    mask = torch.tensor([False, True, False, True, False, True])
    by_mask, by_number, by_slice = split.rows(mask), split.rows(torch.tensor([1, 3, 5])), split.rows(slice(1, None, 2))
    for other in (by_number, by_slice):
        assert torch.equal(by_mask[0], other[0])
        assert torch.equal(by_mask[1]["a"], other[1]["a"])
    assert by_mask[0].dtype == torch.float32


def test_targets_keep_their_type_and_rows_are_told_from_loaders():
    split = Split(torch.zeros(3, 2), {"scene": torch.tensor([[[1]], [[-100]], [[0]]], dtype=torch.int8)})
    for index in (slice(None), torch.arange(3), torch.ones(3, dtype=torch.bool)):
        assert torch.equal(split.rows(index)[1]["scene"], split.targets["scene"])
        assert split.rows(index)[1]["scene"].dtype == torch.int8
    assert isinstance(split, Rows)
    assert not any(isinstance(other, Rows) for other in (DataLoader([1]), [1], split.batches(2), split.inputs, "rows"))
