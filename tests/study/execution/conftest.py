"""Jobs that other processes can import."""

import importlib
import sys

import pytest

JOBS = '''
import os
import signal
import sys
import threading
import time
from pathlib import Path

LOADED = []


class Unloadable(Exception):
    def __init__(self, one, two):
        super().__init__("needs two")


class Rude:
    def __reduce__(self):
        raise TypeError("cannot be sent")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def do(item, report):
    """Items are (what, detail)."""
    what, detail = item
    report(0.5)
    if what == "raise":
        raise ArithmeticError(f"no\\n{detail}")
    if what == "raise what cannot be loaded":
        raise Unloadable(1, 2)
    if what == "exit":
        sys.exit(detail)
    if what == "die":
        die()
    if what == "die once" and not Path(detail).exists():
        Path(detail).touch()
        die()
    if what == "die once":
        return "survived"
    if what == "return what cannot be sent":
        return Rude()
    if what == "data":
        LOADED.append(detail)
        return os.getpid(), len(LOADED)
    if what == "environment":
        return os.environ[detail]
    if what == "threads":
        import torch
        return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.environ.get("SEEN_BY_JOBS")
    return detail * detail
'''


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs_for_executors.py").write_text(JOBS)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("jobs_for_executors")
    sys.path.remove(str(folder))
    del sys.modules["jobs_for_executors"]


class Seen:
    """What an executor told."""

    def __init__(self):
        self.shares, self.done = [], {}

    def on_progress(self, index, share):
        self.shares.append((index, share))

    def on_done(self, index, outcome):
        assert index not in self.done
        self.done[index] = outcome


@pytest.fixture
def seen():
    return Seen()
