"""Two processes with half of a batch each measure what one measures with all of it (gloo, CPU)."""

from pathlib import Path

import pytest
import torch.distributed as dist

from ..balancing.two_processes import run  # noqa: TID252  (tests are no package)

PROGRAMS = Path(__file__).with_name("meter_programs.py")

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


def test_two_ranks_measure_what_one_process_does(tmp_path):
    ended = run(PROGRAMS, tmp_path, "full_batches", "partial_labels", "features", "names_in_another_order")
    assert ended.codes == [0, 0], ended.said
