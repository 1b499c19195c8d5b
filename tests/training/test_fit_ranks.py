"""Training in two processes is training in one with the whole batch (gloo, CPU)."""

import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from counterpoint import MultiTaskModel, Task
from counterpoint.data import Split
from counterpoint.training import FitSettings, MultiTaskModule, fit

from ..balancing.two_processes import run  # noqa: TID252  (tests are no package)

PROGRAMS = Path(__file__).with_name("rank_programs.py")


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_two_processes_are_one(tmp_path):
    programs = re.findall(r"^def (\w+)\(\):$", PROGRAMS.read_text(), re.MULTILINE)
    programs = [name for name in programs if name != "folders"]
    assert len(programs) == 4
    ended = run(PROGRAMS, tmp_path, *programs)
    assert ended.codes == [0, 0], ended.said
    assert ended.done == [programs, programs], ended.said


def test_processes_that_nobody_started_get_one_line(tmp_path):
    module = MultiTaskModule(MultiTaskModel(nn.Linear(2, 2), {"a": nn.Linear(2, 2)}), [Task.classification("a", 2)])
    rows = Split(torch.zeros(4, 2), {"a": torch.zeros(4).long()})
    with pytest.raises(ValueError, match=r"1 process\(es\) were started, expected 6: start the program with torchrun"):
        fit(module, dict.fromkeys(("train", "validation", "test"), rows), FitSettings(devices=3, nodes=2), tmp_path)
