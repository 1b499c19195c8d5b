"""Jobs side by side on this machine: none stops the others."""

import multiprocessing
import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from counterpoint.study.execution import Failure, LocalExecutor, executor, run_all
from counterpoint.study.execution.worker import Worker


def run(workers, *arguments):
    with LocalExecutor(workers) as place:
        return place.run(*arguments)


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_that_fail_do_not_stop_the_others(workers, jobs, seen):
    items = [("raise", "good"), ("square", 3), ("exit", 7), ("raise what cannot be loaded", 0), ("square", 4)]
    outcomes = run(workers, items, jobs.do, seen.on_progress, seen.on_done)
    assert [outcomes[1], outcomes[4]] == [9, 16]
    errors = [outcome.error for outcome in outcomes if isinstance(outcome, Failure)]
    assert errors == ["ArithmeticError: no good", "SystemExit: 7", "Unloadable: needs two"]
    assert "in do\n    raise ArithmeticError" in outcomes[0].trace
    assert seen.done == dict(enumerate(outcomes))
    assert set(seen.shares) == {(index, share) for index in range(5) for share in (0.0, 0.5)}


def test_a_killed_process_takes_no_other_job_with_it(jobs, seen, tmp_path):
    items = [("die", 0), ("square", 3), ("die once", str(tmp_path / "died")), ("square", 4), ("square", 5)]
    outcomes = run(2, items, jobs.do, seen.on_progress, seen.on_done)
    killed = Failure("a process was killed, perhaps for want of memory")
    assert outcomes == [killed, 9, "survived", 16, 25]
    assert list(seen.done)[-1] in {0, 2}  # they were run again when all others were done
    assert seen.shares.count((0, 0.0)) == seen.shares.count((2, 0.0)) == 2
    assert seen.shares.count((1, 0.0)) == 1


def test_a_study_that_needs_every_job_ends_with_the_second_death(jobs):
    with pytest.raises(BrokenProcessPool, match="a process was killed"):
        run_all([("die", 0), ("square", 2)], jobs.do, 2, lambda *_: None, lambda *_: None)


def test_workers_that_never_start_end_it_with_what_to_do(jobs, seen, monkeypatch):
    def stillborn():
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=os._exit, args=(1,))
        process.start()
        theirs.close()
        return Worker(process, ours)

    monkeypatch.setattr(Worker, "start", stillborn)
    with pytest.raises(BrokenProcessPool, match=r"has to start its work below if __name__ == '__main__':"):
        run(2, [("square", 2), ("square", 3)], jobs.do, seen.on_progress, seen.on_done)
    assert not seen.done


def test_what_cannot_travel_is_a_failure_of_its_job(jobs, seen):
    items = [("square", jobs.Rude()), ("return what cannot be sent", 0), ("square", 2)]
    outcomes = run(2, items, jobs.do, seen.on_progress, seen.on_done)
    assert outcomes[2] == 4
    assert [outcome.error for outcome in outcomes[:2]] == ["TypeError: cannot be sent"] * 2


def test_workers_keep_what_they_loaded_and_use_one_thread(jobs, seen, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("SEEN_BY_JOBS", "yes")
    items = [("data", index) for index in range(6)] + [("threads", 0)]
    *loads, threads = run(2, items, jobs.do, seen.on_progress, seen.on_done)
    processes = {pid for pid, _ in loads}
    assert len(processes) <= 2
    assert os.getpid() not in processes
    assert sorted(loads) == sorted((pid, 1 + k) for pid in processes for k in range([p for p, _ in loads].count(pid)))
    assert threads == (1, "1", "yes")
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_processes_stay_for_the_next_run_and_end_with_close(jobs, seen):
    with LocalExecutor(2) as place:
        first = place.run([("data", 0)] * 4, jobs.do, seen.on_progress, lambda *_: None)
        second = place.run([("data", 1)] * 4, jobs.do, seen.on_progress, lambda *_: None)
        processes = {pid for pid, _ in first}
        assert {pid for pid, _ in second} <= {worker.process.pid for worker in place._kept}
        assert processes & {pid for pid, _ in second}
        assert max(count for _, count in second) > max(count for _, count in first)
        workers = [worker.process for worker in place._kept]
    assert len(workers) == 2
    assert not place._kept


def test_what_a_listener_raises_ends_the_run_and_its_workers(jobs, seen):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(2, [("square", 1)] * 4, jobs.do, seen.on_progress, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(1, [("square", 1)] * 4, jobs.do, interrupt, seen.on_done)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("local", 0), "workers is 0"),
        (("ray", 0), "workers is 0"),
        (("slurm", 1), "unknown executor 'slurm'"),
        (("local", 1, "auto"), "address 'auto' is given for executor 'local'"),
    ],
)
def test_executors_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        executor(*options)
