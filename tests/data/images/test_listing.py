"""Groups of rows stay together, and every part gets its share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.data.images.listing import chosen_tasks, expect_folder, held_out, keys_in, nested_keys_in

rows = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=40)
shares = st.lists(st.floats(0.05, 0.45), min_size=1, max_size=2)


@given(rows, shares, st.integers(0, 5))
def test_every_group_is_in_one_part_and_every_part_has_its_share_if_there_are_groups_for_it(groups, shares, seed):
    if len(set(groups)) <= len(shares):
        with pytest.raises(ValueError, match=f"of {len(set(groups))} cities, expected at least {len(shares) + 1}"):
            held_out(groups, shares, seed, "cities")
        return
    parts = held_out(groups, shares, seed, "cities")
    assert sorted(name for part in parts for name in part) == sorted(set(groups))
    assert all(parts)
    assert held_out(groups, shares, seed, "cities") == parts
    for share, part in zip(shares, parts[:-1], strict=True):
        rows = [groups.count(name) for name in part]
        assert sum(rows) - max(rows) < share * len(groups)  # no more groups than it takes
        assert sum(rows) >= share * len(groups) or all(len(other) == 1 for other in parts[parts.index(part) + 1 :])


def test_a_large_share_leaves_a_group_for_each_other_part():
    for seed in range(6):
        first, second, rest = held_out(list("aaabbbcccddd"), [0.9, 0.05], seed, "cities")
        assert (len(first), len(second), len(rest)) == (2, 1, 1)


@pytest.mark.parametrize("wrong", [[0.0], [1.0], [0.6, 0.4], [-0.1], [float("nan")]])
def test_shares_that_leave_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="expected each above 0 and less than 1 in sum"):
        held_out(list("abcd"), wrong, 0, "cities")


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match=r"^seed of the cities held out is -1, expected at least 0$"):
        held_out(list("abcd"), [0.2], -1, "cities")


def test_tasks_in_the_order_that_is_asked_for():
    known = {"depth": 1, "normals": 2}
    assert chosen_tasks((), known, "NYUv2") == ("depth", "normals")
    assert chosen_tasks(("normals", "depth"), known, "NYUv2") == ("normals", "depth")


def test_a_missing_folder_is_named_with_the_one_above_or_below_that_has_it(tmp_path):
    good = tmp_path / "unpacked"
    (good / "gtFine" / "train").mkdir(parents=True)
    assert expect_folder(good, "gtFine/train", "both") == good / "gtFine" / "train"
    for root in (tmp_path, good / "gtFine", good / "misspelt"):
        with pytest.raises(
            ValueError, match=f"^{root}/gtFine/train is missing, expected both; {good} has gtFine/train$"
        ):
            expect_folder(root, "gtFine/train", "both")
    with pytest.raises(ValueError, match=f"^{good}/disparity/train is missing, expected both$"):
        expect_folder(good, "disparity/train", "both")


def test_what_macos_lays_beside_copied_files_is_no_label(tmp_path):
    (tmp_path / "ulm").mkdir()
    for name in ("1_disparity.png", "._1_disparity.png", "1_disparity.txt"):
        (tmp_path / "ulm" / name).touch()
    assert keys_in(tmp_path / "ulm", "_disparity.png") == ["1"]
    assert nested_keys_in(tmp_path, "_disparity.png") == ["ulm/1"]
