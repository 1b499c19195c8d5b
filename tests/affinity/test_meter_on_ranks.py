"""Two processes with half of a batch each measure what one measures with all of it (gloo, CPU)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

PROGRAMS = Path(__file__).with_name("meter_programs.py")
RANKS = 2

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


def test_two_ranks_measure_what_one_process_does(tmp_path):
    started = [
        subprocess.Popen(
            [
                sys.executable,
                PROGRAMS,
                str(rank),
                tmp_path / "rendezvous",
                "full_batches",
                "partial_labels",
                "features",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in range(RANKS)
    ]
    said = []
    try:
        said = [process.communicate(timeout=150)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * RANKS, "\n".join(said)
