"""Programs in processes of their own that need not load torch and Lightning again: they fork from one that has.

The fork server is the one that the library's own workers fork from; a test process starts it once.
"""

import multiprocessing
import os
import runpy
import sys
import time

import torch.distributed as dist

from counterpoint.study.execution.worker import ENVIRONMENT, LOADED_ONCE

_BEGIN = "a program"


class Program:
    """A Python program that runs beside the tests.

    Args:
        script: A file.
        arguments: What comes after the program's name.
        cwd: Where it runs.
        output: The file for what it says.
        errors: The file for its complaints; the same if ``None``.
        environment: On top of this process's.
    """

    def __init__(self, script, arguments, cwd, output, *, errors=None, environment=None):
        self.output = output
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED_ONCE)
        before = dict(os.environ)
        os.environ.update(ENVIRONMENT)  # for the server, should it start now
        try:
            variables = before | ENVIRONMENT | (environment or {})
            files = [str(output), str(errors or output)]
            given = (str(script), [str(argument) for argument in arguments], str(cwd), files, variables)
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
        """What it has said so far."""
        if not self.output.exists():
            return ""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def kill(self):
        self.process.kill()
        self.process.join()


def launch(script, folder, ranks=2, seconds=150):
    """Runs a program on every rank in the environment that torchrun makes; returns exit codes and what each said."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun's agent has one, too
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0"}
    common |= {"TORCHELASTIC_RUN_ID": "none"}
    programs = [
        Program(
            script,
            [],
            folder,
            folder / f"said-{rank}.txt",
            environment=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(ranks)
    ]
    until = time.monotonic() + seconds
    try:
        codes = [program.wait(until) for program in programs]
    finally:
        for program in programs:
            program.kill()
    return codes, [program.said() for program in programs]


def _run(script, arguments, cwd, files, environment):
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == _BEGIN:
    _run(*globals()["GIVEN"])
