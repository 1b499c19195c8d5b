"""With two processes the first one looks, at its own copy, and the other does not wait (gloo, CPU)."""

from pathlib import Path

import pytest
import torch.distributed as dist

from ..balancing.two_processes import run  # noqa: TID252  (tests are no package)

PROGRAMS = Path(__file__).with_name("trajectory_programs.py")

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


def test_the_first_process_looks_and_nobody_waits(tmp_path):
    programs = ["the_first_process_looks_and_nobody_waits"]
    ended = run(PROGRAMS, tmp_path, *programs)
    assert ended.codes == [0, 0], ended.said
    assert ended.done == [programs, programs], ended.said
