"""FSDP2 in two processes (gloo, CPU): sharded parameters, and the weights of the joined batch."""

import importlib.util
from pathlib import Path

import pytest
import torch.distributed as dist

from .two_processes import run

PROGRAMS = Path(__file__).with_name("fsdp_programs.py")

pytestmark = pytest.mark.skipif(
    not dist.is_available() or importlib.util.find_spec("torch.distributed.fsdp._fully_shard") is None,
    reason="this torch has no fully_shard",
)


def test_training_with_sharded_parameters_equals_training_on_one_process(tmp_path):
    programs = ["layer", "partial_labels", "function_at_features", "what_is_refused"]
    ended = run(PROGRAMS, tmp_path, *programs)
    assert ended.codes == [0, 0], ended.said
    assert ended.done == [programs, programs], ended.said
