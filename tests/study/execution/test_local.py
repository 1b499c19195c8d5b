"""Runs side by side in processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import os, time
from pathlib import Path
from counterpoint.study.execution import run_all, worker

worker.LOADED_ONCE.clear()  # takes seconds, and nobody trains here

def work(item, report):
    Path(f"{item}.part").write_text(str(os.getpid()))
    Path(f"{item}.part").rename(f"{item}.pid")
    time.sleep(600)

if __name__ == "__main__":
    run_all(["a", "b"], work, 2, lambda *_: None, lambda *_: None)
"""


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # nobody may be there to collect what has ended
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    deadline = time.monotonic() + 120
    with subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path) as process:
        while len(found := list(tmp_path.glob("*.pid"))) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        workers = [int(path.read_text()) for path in found]
        process.kill()
    while any(runs(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


UNCLOSED = """
from counterpoint.study.execution import LocalExecutor, worker

worker.LOADED_ONCE.clear()

def absolute(item, report):
    return abs(item)

if __name__ == "__main__":
    place = LocalExecutor(2)
    for _ in range(2):
        print(place.run([-1, -2], absolute, lambda *_: None, lambda *_: None), flush=True)
"""


def test_a_program_that_forgets_to_close_ends(tmp_path):
    (tmp_path / "program.py").write_text(UNCLOSED)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2]\n" * 2, "")
