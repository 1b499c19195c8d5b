"""FSDP2 in two processes (gloo, CPU): sharded parameters, and the weights of the joined batch."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

pytestmark = pytest.mark.skipif(
    not dist.is_available() or importlib.util.find_spec("torch.distributed.fsdp._fully_shard") is None,
    reason="this torch has no fully_shard",
)


def run(folder, *programs, seconds=180):
    started = [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fsdp_programs.py"), str(rank), folder / "rendezvous", *programs],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    said = []
    try:
        said = [process.communicate(timeout=seconds)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)


def test_training_with_sharded_parameters_equals_training_on_one_process(tmp_path):
    run(tmp_path, "layer", "partial_labels", "function_at_features", "what_is_refused")
