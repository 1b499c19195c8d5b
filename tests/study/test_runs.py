"""A run is what its content says, and is done once by whoever comes first."""

import json
import multiprocessing
import weakref
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.data import Split
from counterpoint.study.comparison import MeterSettings
from counterpoint.study.runs.content import digest
from counterpoint.study.runs.job import RunJob
from counterpoint.study.runs.store import RunStore
from counterpoint.study.runs.train import train_run
from counterpoint.study.source import SOURCES

SOURCE = SOURCES["yeast"]


@pytest.fixture
def job(tmp_path):
    return RunJob(SOURCE, SOURCE.tasks[:2], 0, SOURCE.fit, RunStore(tmp_path))


def test_splits_of_earlier_studies_are_let_go():
    @dataclass(frozen=True)
    class Numbers:
        seed: int

        def splits(self):
            loads.append(self.seed)
            return {"train": Split(torch.zeros(3), {})}

    loads, kept = [], []
    for seed in (0, 0, *range(1, 9)):
        rows = replace(SOURCE, data=Numbers(seed)).splits([])["train"].inputs
        kept.append(weakref.ref(rows))
        del rows
    assert loads == list(range(9))
    assert kept[-1]() is not None
    assert kept[0]() is None


def test_everything_that_numbers_depend_on_makes_another_run(job):
    others = [
        replace(job, seed=1),
        replace(job, tasks=SOURCE.tasks[:3]),
        replace(job, weighting="mgda"),
        replace(job, scales=(("class-1", 2.0), ("class-2", 0.5))),
        replace(job, meter=MeterSettings()),
        replace(job, fit=replace(job.fit, epochs=99)),
        replace(job, fit=replace(job.fit, batch_size=99)),
        replace(job, source=replace(SOURCE, lr=0.5)),
        replace(job, source=replace(SOURCE, network="another")),
        replace(job, source=SOURCE.with_data_seed(7)),
        replace(job, source=replace(SOURCE, identity=("x",))),
    ]
    runs = [each.run for each in (job, *others)]
    assert len(set(runs)) == len(runs)


def test_what_numbers_do_not_depend_on_makes_no_other_run(job, tmp_path):
    same = [
        replace(job, store=RunStore(tmp_path / "elsewhere")),
        replace(job, fit=replace(job.fit, progress_bar=False)),
        replace(job, source=replace(SOURCE, description="other words")),
    ]
    assert {each.run for each in same} == {job.run}


def test_a_task_alone_is_one_run_however_it_would_be_balanced(job):
    alone = replace(job, tasks=("class-1",))
    assert replace(alone, weighting="dibs").run == alone.run
    assert replace(alone, scales=(("class-1", 3.0),)).run == alone.run


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.none())))
def test_identity_does_not_depend_on_the_order_of_keys(content):
    assert digest(content) == digest(dict(reversed(content.items())))
    assert digest({**content, "one more": 0}) != digest(content)


def test_identity_is_of_plain_values_only():
    with pytest.raises(TypeError):
        digest({"object": object()})


@pytest.mark.parametrize("weighting", ["gradnorm", "famo"])
def test_a_run_is_stored_whatever_its_weighting_remembers(job, weighting):
    fit = replace(job.fit, epochs=1, batch_size=512, logs=False)
    done = train_run(replace(job, weighting=weighting, fit=fit), [].append)
    assert job.store.finished(done.run).rows == done.rows


def _holds(folder, ready, let_go):
    with RunStore(folder).lock("run"):
        ready.set()
        let_go.wait()


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    from filelock import Timeout

    context = multiprocessing.get_context("fork")
    ready, let_go = context.Event(), context.Event()
    process = context.Process(target=_holds, args=(tmp_path, ready, let_go))
    process.start()
    assert ready.wait(30)
    lock = RunStore(tmp_path).lock("run")
    with pytest.raises(Timeout), lock.acquire(timeout=0.05):
        pass
    process.kill()
    process.join()
    with lock.acquire(timeout=10):
        pass


def test_a_crash_is_kept_beside_the_run(tmp_path):
    store = RunStore(tmp_path)
    store.crashed("run", "a, seed 0", "ValueError: no", "Traceback")
    assert json.loads((tmp_path / "run" / "error.json").read_text())["title"] == "a, seed 0"
    assert store.finished("run") is None
