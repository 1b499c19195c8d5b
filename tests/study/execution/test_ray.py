"""Jobs on a Ray cluster of this machine's own: what LocalExecutor does, it does."""

import os
import pickle
import socket
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from counterpoint import Study
from counterpoint.study.execution import Failure, LocalExecutor, RayExecutor, executor, ray_jobs

from ..study_data import FAST, TARGETS, table  # noqa: TID252  (tests are no package)

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster(jobs):  # noqa: ARG001  (its folder is on the path of the cluster's processes)
    with RayExecutor(workers=2) as place:
        yield place
    assert not ray.is_initialized()


def test_the_same_as_here_and_no_job_stops_the_others(cluster, jobs, seen, tmp_path):
    items = [("square", 3), ("raise", "good"), ("exit", 7), ("square", 4)]
    deaths = [("die once", str(tmp_path / "died")), ("die", 0)]
    outcomes = cluster.run([*items, *deaths], jobs.do, seen.on_progress, seen.on_done)
    here = LocalExecutor(1).run(items, jobs.do, lambda *_: None, lambda *_: None)
    errors = [[outcome.error for outcome in place if isinstance(outcome, Failure)] for place in (outcomes[:4], here)]
    assert errors == [["ArithmeticError: no good", "SystemExit: 7"]] * 2
    assert [outcomes[index] for index in (0, 3)] == [here[index] for index in (0, 3)] == [9, 16]
    assert outcomes[4:] == ["survived", Failure("a process was killed, perhaps for want of memory")]
    assert "in do\n    raise ArithmeticError" in outcomes[1].trace
    assert seen.done == dict(enumerate(outcomes))
    assert {share for _, share in seen.shares} == {0.0, 0.5}


def test_a_second_run_is_on_the_same_cluster_with_one_thread(cluster, jobs, seen):
    before = ray.get_runtime_context().get_job_id()
    items = [
        ("square", jobs.Rude()),
        ("return what cannot be sent", 0),
        ("square", 2),
        ("environment", "OMP_NUM_THREADS"),
    ]
    outcomes = cluster.run(items, jobs.do, seen.on_progress, seen.on_done)
    assert all("cannot be sent" in outcome.error for outcome in outcomes[:2])
    assert outcomes[2] == 4
    assert outcomes[3] == "1"
    assert ray.get_runtime_context().get_job_id() == before


def test_a_study_finds_what_it_finds_here(cluster, tmp_path):
    options = FAST | {"scale_trials": 0, "seeds": 1}
    there = Study(table(), TARGETS, out=tmp_path / "there", executor=Borrowed(cluster), **options).run()
    here = Study(table(), TARGETS, out=tmp_path / "here", **options).run()
    tables = (each.scores("test").drop(columns="seconds") for each in (there, here))
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert there.served == here.served
    assert not there.plan["crashed"]


class Borrowed:
    """A cluster that a study may use, and not close."""

    def __init__(self, cluster):
        self.run, self.workers = cluster.run, cluster.workers

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_connection_that_was_there_stays(cluster, jobs, seen):  # noqa: ARG001  (it is there)
    with RayExecutor(workers=1) as guest:
        assert guest.run([("square", 3)], jobs.do, seen.on_progress, seen.on_done) == [9]
    assert ray.is_initialized()


def test_every_machine_must_see_the_folder(cluster, jobs, seen, tmp_path, monkeypatch):  # noqa: ARG001
    with RayExecutor("auto", folder=tmp_path) as guest:
        assert guest.run([("square", 3)], jobs.do, seen.on_progress, seen.on_done) == [9]
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("counterpoint.study.execution.cluster._is_there", lambda path: False)  # noqa: ARG005
    with pytest.raises(ValueError, match=f"does not see the folder '{tmp_path}'"):
        RayExecutor("auto", folder=tmp_path).run([("square", 3)], jobs.do, seen.on_progress, seen.on_done)
    assert not list(tmp_path.iterdir())


def test_clusters_that_do_not_answer_get_one_line(jobs, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("counterpoint.study.execution.ray_connection._ANSWER_SECONDS", 0.5)
    with socket.socket() as nobody, socket.create_server(("127.0.0.1", 0)) as mute:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        for given, message in (
            (address, f"no Ray cluster answers at '{address}'"),
            (f"ray://{address}", "no Ray cluster answers"),
            (f"127.0.0.1:{mute.getsockname()[1]}", "something else does"),
            ("localhost", "expected 'auto', 'host:6379'"),
        ):
            with pytest.raises(ValueError, match=message) as caught, executor("ray", 1, given) as place:
                place.run([("square", 1)], jobs.do, print, print)
            assert "\n" not in str(caught.value)


def test_without_ray_it_says_what_to_install(jobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'counterpoint\[ray\]'"):
        RayExecutor().run([("square", 1)], jobs.do, print, print)


def test_jobs_have_one_thread_where_torch_is_loaded_already(jobs):
    class Nobody:
        put = SimpleNamespace(remote=lambda *_: None)

    before, environment, path = torch.get_num_threads(), dict(os.environ), list(sys.path)
    torch.set_num_threads(2)
    try:
        threads, *_ = ray_jobs.work_on(pickle.dumps((jobs.do, ("threads", 0))), ["/of/the/other"], 0, Nobody())
        assert sys.path == [*path, "/of/the/other"]
    finally:
        torch.set_num_threads(before)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
    assert threads == 1
