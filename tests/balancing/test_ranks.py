"""Two processes that train together do what one does with the joined batch (gloo, CPU)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from counterpoint import MGDA, FanOut

PROGRAMS = Path(__file__).with_name("rank_programs.py")
RANKS = 2

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


def run(folder, *programs, script=PROGRAMS, seconds=180):
    """Runs programs in two processes; one that fails or hangs fails the test with what both of them said."""
    rendezvous = folder / "rendezvous"
    started = [
        subprocess.Popen(
            [sys.executable, script, str(rank), rendezvous, *programs],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "LOCAL_RANK": str(rank), "NODE_RANK": "0"},
        )
        for rank in range(RANKS)
    ]
    said = []
    try:
        said = [process.communicate(timeout=seconds)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * RANKS, "\n".join(said)


def test_training_on_two_ranks_equals_training_on_one_with_the_joined_batch(tmp_path):
    layer = ["every_method", "options_of_the_layer", "groups_and_copies", "methods_that_need_the_gradients_themselves"]
    run(tmp_path, *layer, "the_function")


def test_missing_labels_and_non_finite_gradients_on_one_rank_concern_all_and_hold_nobody_up(tmp_path):
    labels = ["partial_labels", "learning_weightings_and_partial_labels"]
    run(tmp_path, *labels, "non_finite_gradients", "non_finite_gradients_in_the_function")


def test_training_by_lightning_on_two_ranks_equals_training_on_one(tmp_path):
    pytest.importorskip("lightning")
    run(tmp_path, "lightning_with_a_module_of_the_users", "lightning_with_our_module")


def test_a_group_of_another_kind_is_refused_and_none_is_needed():
    with pytest.raises(TypeError, match="process_group='gloo', expected"):
        FanOut(MGDA(), ["a", "b"], process_group="gloo")
    assert not FanOut(MGDA(), ["a", "b"], process_group="world").ranks.active  # nothing was started
