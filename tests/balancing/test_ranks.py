"""Two processes that train together do what one does with the joined batch (gloo, CPU)."""

from pathlib import Path

import pytest
import torch.distributed as dist

from counterpoint import MGDA, FanOut

from .two_processes import run

PROGRAMS = Path(__file__).with_name("rank_programs.py")

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


def test_training_on_two_ranks_equals_training_on_one_with_the_joined_batch(tmp_path):
    layer = ["every_method", "options_of_the_layer", "groups_and_copies", "methods_that_need_the_gradients_themselves"]
    programs = [*layer, "gradients_that_do_not_wait", "the_function"]
    ended = run(PROGRAMS, tmp_path, *programs)
    assert ended.codes == [0, 0], ended.said
    assert ended.done == [programs, programs], ended.said


def test_missing_labels_and_non_finite_gradients_on_one_rank_concern_all_and_hold_nobody_up(tmp_path):
    labels = ["partial_labels", "learning_weightings_and_partial_labels"]
    broken = ["non_finite_gradients", "losses_that_are_not_finite", "non_finite_gradients_in_the_function"]
    programs = [*labels, *broken, "names_in_another_order"]
    ended = run(PROGRAMS, tmp_path, *programs)
    assert ended.codes == [0, 0], ended.said
    assert ended.done == [programs, programs], ended.said


def test_training_by_lightning_on_two_ranks_equals_training_on_one(tmp_path):
    pytest.importorskip("lightning")
    programs = ["lightning_with_a_module_of_the_users", "lightning_with_our_module"]
    ended = run(PROGRAMS, tmp_path, *programs)
    assert ended.codes == [0, 0], ended.said
    assert ended.done == [programs, programs], ended.said


def test_a_group_of_another_kind_is_refused_and_none_is_needed():
    with pytest.raises(TypeError, match="process_group='gloo', expected"):
        FanOut(MGDA(), ["a", "b"], process_group="gloo")
    assert not FanOut(MGDA(), ["a", "b"], process_group="world").ranks.active  # nothing was started
