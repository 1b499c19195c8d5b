"""The grouping study, without its trainings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from counterpoint.affinity import Affinity
from counterpoint.study import group, network_job
from counterpoint.study.group import GroupStudy
from counterpoint.study.network_job import TrainedNetwork
from counterpoint.study.proposals import GroupingRules
from counterpoint.study.source import SOURCES


class Silence:
    def stage(self, title, runs): ...

    def progress(self, index, share): ...

    def done(self, index, seconds): ...

    def grouped(self, candidate): ...


def pretend(job, report):  # noqa: ARG001  (nothing to report)
    """A network with made-up losses, as if it had been trained."""
    (job.folder / "csv").mkdir(parents=True)
    rng = np.random.default_rng([job.seed, len(job.tasks)])
    names = ("loss", "value", "validation_loss", "validation_value")
    facts = {"run": job.run, "seed": job.seed, "metric": "accuracy", "direction": "maximize", "parameters": 10}
    rows = [facts | {name: rng.uniform(0.5, 1) for name in names} | {"task": t, "seconds": 1.0} for t in job.tasks]
    if job.meter is None:
        return TrainedNetwork(rows)
    values = rng.normal(size=(len(job.tasks),) * 2)
    return TrainedNetwork(rows, Affinity(values, job.tasks, 4), Affinity(values + values.T, job.tasks, 4))


@pytest.fixture(name="study")
def study_fixture(tmp_path, monkeypatch):
    monkeypatch.setattr(group, "train_network", pretend)
    compare = ("cs", "random", "hoa", "optimal")
    return GroupStudy(SOURCES["digits"], networks=3, seeds=2, compare=compare, out=tmp_path, workers=1)


@pytest.mark.parametrize(
    ("rules", "sizes", "pooled"),
    [
        (GroupingRules(), {2, 3}, False),
        (GroupingRules(serve=("left", "sum")), {2}, True),
        (GroupingRules(singletons="forbid"), {2}, True),
        (GroupingRules(largest=2), {3}, True),
        (GroupingRules(apart=(("left", "right"), ("right", "sum"), ("left", "sum"))), {3}, True),
    ],
)
def test_every_method_proposes_under_all_rules_and_is_scored(study, rules, sizes, pooled):
    study = replace(study, rules=rules, pooled=pooled)
    results = study.run("", Silence())
    assert results.networks["run"].nunique() <= study.runs
    for family in ("tag", "cs", "hoa", "optimal", "random"):
        found = [candidate for candidate in results.candidates if candidate.family == family]
        assert found
        assert family != "random" or {candidate.size for candidate in found} == sizes
        for candidate in found:
            assert candidate.follows_rules
            for network in candidate.networks:
                assert rules.allows(network.tasks)
    served = rules.served(study.source.tasks)
    scores = results.scores
    assert len(scores.drop_duplicates(["method", "seed", "task"])) == len(scores)
    assert (scores.groupby(["method", "seed"])["task"].nunique() == len(served)).all()


def test_nothing_is_deleted_that_the_study_did_not_make(study, tmp_path):
    study.run("", Silence())
    first = {path.name for path in (tmp_path / "runs").iterdir()}
    (tmp_path / "runs/group").mkdir()
    (tmp_path / "runs/group/study.json").write_text("another study's")
    replace(study, seeds=1, compare=()).run("", Silence())
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert (tmp_path / "runs/group/study.json").read_text() == "another study's"
    assert left - {"group"} < first  # what the second study did not train is gone


def test_a_network_is_trained_by_one_thread_wherever_it_is_trained():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with network_job.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
