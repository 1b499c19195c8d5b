"""Runs programs in two processes that train together, and says how they ended."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

RANKS = 2
SECONDS = 180


@dataclass(frozen=True)
class Ended:
    """How the processes ended, one entry a rank.

    Attributes:
        codes: Exit codes.
        output: What each said, errors included.
    """

    codes: list[int]
    output: list[str]

    @property
    def done(self):
        """For each rank the programs that it said were done, in their order."""
        return [re.findall(r"^done: (\w+)$", said, re.MULTILINE) for said in self.output]

    @property
    def said(self):
        """All of the output, for the message of an assertion."""
        return "\n".join(self.output)


def run(script, folder, *programs, seconds=SECONDS):
    """Runs ``python script RANK RENDEZVOUS PROGRAM ...`` for each rank; nobody is left behind."""
    started = [
        subprocess.Popen(
            [sys.executable, script, str(rank), folder / "rendezvous", *programs],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "LOCAL_RANK": str(rank), "NODE_RANK": "0"},
        )
        for rank in range(RANKS)
    ]
    try:
        output = [process.communicate(timeout=seconds)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return Ended([process.returncode for process in started], output)
