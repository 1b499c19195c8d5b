"""Programs in processes of their own that need not load torch and Lightning again: they fork from one that has.

The fork server is the one that the library's own workers fork from; a test process starts it once.
"""

import multiprocessing
import os
import runpy
import sys
import time

from counterpoint.study.execution.worker import ENVIRONMENT, LOADED_ONCE

_BEGIN = "a program"


class Program:
    """A Python program that runs beside the tests.

    Args:
        script: A file.
        arguments: What comes after the program's name.
        cwd: Where it runs.
        output: The file for what it says, errors included.
        environment: On top of this process's.
    """

    def __init__(self, script, arguments, cwd, output, environment=None):
        self.output = output
        output.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED_ONCE)
        before = dict(os.environ)
        os.environ.update(ENVIRONMENT)  # for the server, should it start now
        try:
            variables = before | ENVIRONMENT | (environment or {})
            given = (str(script), [str(argument) for argument in arguments], str(cwd), str(output), variables)
            # By path: a new process may not know this file as a module.
            self.process = context.Process(target=runpy.run_path, args=(__file__, {"GIVEN": given}, _BEGIN))
            self.process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def wait(self, until):
        """Waits until ``time.monotonic()`` is that; returns the exit code, or None if it is still running."""
        self.process.join(max(0.0, until - time.monotonic()))
        return self.process.exitcode

    def said(self):
        return self.output.read_text(encoding="utf-8", errors="replace")

    def kill(self):
        self.process.kill()
        self.process.join()


def _run(script, arguments, cwd, output, environment):
    said = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == _BEGIN:
    _run(*globals()["GIVEN"])
