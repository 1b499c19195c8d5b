"""Runs programs in two processes that train together, and says how they ended."""

import re
import time
from dataclasses import dataclass

from ..warm import Program  # noqa: TID252  (tests are no package)

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
    until = time.monotonic() + seconds
    started = [
        Program(
            script,
            [rank, folder / "rendezvous", *programs],
            folder,
            folder / f"said-{rank}.txt",
            environment={"LOCAL_RANK": str(rank), "NODE_RANK": "0"},
        )
        for rank in range(RANKS)
    ]
    try:
        codes = [program.wait(until) for program in started]
    finally:
        for program in started:
            program.kill()
    return Ended(codes, [program.said() for program in started])
