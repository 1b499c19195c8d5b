"""Two ranks do each job together, one job after the other (gloo, CPU)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.distributed as dist

from counterpoint import Study
from counterpoint.study.execution import launch, ranks, relaunch
from counterpoint.study.study_results import StudyResults

from ...warm import launch as on_ranks  # noqa: TID252  (tests are no package)
from ..study_data import FAST, TARGETS, table  # noqa: TID252

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the leader of two ranks found, in torchrun's environment."""
    codes, said = on_ranks(Path(__file__).with_name("rank_jobs.py"), tmp_path_factory.mktemp("ranks"))
    assert codes == [0, 0], "\n".join(said)
    assert "found:" not in said[1]
    return json.loads(said[0].partition("found:")[2])


def test_all_ranks_do_each_job_and_the_leader_tells(found):
    assert found["totals"] == [1 + 2, 2 + 3]
    assert found["shares"] == [[0, 0.0], [0, 0.5], [1, 0.0], [1, 0.5]]


def test_a_rank_that_fails_fails_the_job_and_the_ranks_stay_in_step(found):
    assert found["failed"] == ["ArithmeticError: on one rank alone (rank 1)"]
    assert found["after a failure"] == [3 + 4]


def test_lightning_trains_on_the_ranks_again_and_again(found):
    for seed, (size, weight) in enumerate(found["trained"]):
        assert size == 2
        rows = torch.randn(16, 3, generator=torch.Generator().manual_seed(seed))
        layer = torch.nn.Linear(3, 1)
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            layer(rows).square().mean().backward()
            optimizer.step()
        torch.testing.assert_close(torch.tensor(weight), layer.weight.detach())


def test_a_study_on_two_ranks_finds_what_one_process_does(tmp_path):
    """Each step takes half of its batch on each rank; MGDA's Gram matrix is summed over them."""
    codes, said = on_ranks(Path(__file__).with_name("rank_study.py"), tmp_path)
    assert codes == [0, 0], "\n".join(said)
    alone = Study(table(), TARGETS, out=tmp_path / "alone", **FAST | {"scale_trials": 0, "seeds": 1}).run()
    together = StudyResults.load(tmp_path / "study")
    assert together.plan["crashed"] == alone.plan["crashed"] == []
    assert together.served == alone.served
    names = ["method", "seed", "task"]
    one, two = (results.scores("test").set_index(names)[["value", "loss"]] for results in (alone, together))
    pd.testing.assert_frame_equal(one, two, rtol=1e-3)


def test_outside_a_launch_it_says_how_to_launch(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="RANK is not set, expected a launch by torchrun"), ranks():
        pass


def test_a_command_is_run_again_on_two_ranks_and_gives_its_exit_code(capfd):
    assert relaunch(2, arguments=["--help"]) == 0
    assert capfd.readouterr().out.count("Multi-task learning on PyTorch.") == 2


def test_several_machines_are_told_what_to_run_on_each():
    with pytest.raises(
        ValueError, match=r"torchrun --nnodes 2 --nproc-per-node 4 .* -m counterpoint study 'my table.csv' --nodes=2$"
    ):
        relaunch(4, 2, ["study", "my table.csv", "--nodes=2"])
    with pytest.raises(ValueError, match="devices is 0"):
        relaunch(0)


def test_a_signal_reaches_the_ranks(monkeypatch):
    program = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    popen, children = subprocess.Popen, []

    def start(command, **options):  # something that ends faster than torchrun does
        assert command[1:3] == ["-m", "torch.distributed.run"]
        children.append(popen([sys.executable, "-c", program], stdout=subprocess.PIPE, **options))
        children[0].stdout.readline()
        wait, children[0].wait = children[0].wait, lambda: os.kill(os.getpid(), signal.SIGTERM) or wait()
        return children[0]

    monkeypatch.setattr(launch.subprocess, "Popen", start)
    before = signal.getsignal(signal.SIGTERM)
    assert relaunch(2, arguments=[]) == 7
    assert signal.getsignal(signal.SIGTERM) is before
