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
