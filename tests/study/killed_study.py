"""Kills a study at random moments, and starts it again each time: python killed_study.py FOLDER KILLS.

``FOLDER/unharmed`` is left alone, ``FOLDER/0``, ``FOLDER/1``, ... are killed until they get through. Studies fork from
this process, which has loaded what they need.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the other ones have a thread, which a fork would lose
sys.path.insert(0, str(Path(__file__).parent))

from study_data import FAST, TARGETS, table

from counterpoint import Study

FRAME = table()


def study(folder):
    options = FAST | {"seeds": 1, "scale_trials": 1}
    Study(FRAME, TARGETS[:2], out=folder, **options).run("counterpoint study")


def killed(folder, seconds):
    """Whether a process of its own had to be killed after so long."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            study(folder)
            code = 0
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, f"a study of {folder} failed"
            return False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(folder, kills):
    study(folder / "warm")
    started = time.monotonic()
    study(folder / "unharmed")
    longest = 0.7 * (time.monotonic() - started)
    draw = random.Random(0)  # noqa: S311
    number = done = 0
    while done < kills:
        if killed(folder / str(number), draw.uniform(0.0, longest)):
            done += 1
        else:
            number += 1
    while killed(folder / str(number), 60.0):
        pass
    sys.stdout.write(f"killed {done} times\n")


if __name__ in {"__main__", "a program"}:
    main(Path(sys.argv[1]), int(sys.argv[2]))
