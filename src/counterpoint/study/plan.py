"""Which trainings a study consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

_LABELS = {
    BASELINE: "Single-task",
    "uniform": "Uniform",
    "mgda": "MGDA-UB",
    "dibs": "DiBS",
    "nash": "Nash-MTL",
    "fairgrad": "FairGrad",
    "gradnorm": "GradNorm",
    "upgrad": "UPGrad",
    "cagrad": "CAGrad",
    "uw": "UW",
    "dwa": "DWA",
    "famo": "FAMO",
}


def label_of(method: str) -> str:
    """A method's name for people; a weighting on features is called as in its paper.

    Example:
        >>> label_of("mgda"), label_of("pcgrad"), label_of("cagrad(c=0.4)")
        ('MGDA-UB', 'pcgrad', 'CAGrad (c=0.4)')
    """
    name, bracket, options = method.partition("(")
    return _LABELS.get(name, name) + (f" ({options}" if bracket else "")


@dataclass(frozen=True)
class Run:
    """One training of one set of tasks with one weighting and one seed.

    Attributes:
        method: ``"single"``, or the name of the weighting.
        tasks: The tasks that share the network.
        seed: Seed of initialization and order of rows.

    Example:
        >>> Run("single", ("left",), 0).title, Run("mgda", ("left", "right"), 1).id
        ('Single-task left, seed 0', 'mgda-seed1')
    """

    method: str
    tasks: tuple[str, ...]
    seed: int

    @property
    def id(self) -> str:
        """A name that tells the runs of a study apart and serves as a folder."""
        tasks = f"-{'-'.join(self.tasks)}" if self.method == BASELINE else ""
        return f"{self.method}{tasks}-seed{self.seed}"

    @property
    def label(self) -> str:
        """The method's name for people."""
        return label_of(self.method)

    @property
    def title(self) -> str:
        """The run's name for people."""
        tasks = f" {', '.join(self.tasks)}" if self.method == BASELINE else ""
        return f"{self.label}{tasks}, seed {self.seed}"


def plan(tasks: Sequence[str], weightings: Sequence[str], seeds: int) -> list[Run]:
    """Every task alone, and all together with each weighting, once for each seed.

    Example:
        >>> [run.id for run in plan(["left", "right"], ["mgda"], seeds=1)]
        ['single-left-seed0', 'single-right-seed0', 'mgda-seed0']
    """
    return [
        run
        for seed in range(seeds)
        for run in (
            *(Run(BASELINE, (task,), seed) for task in tasks),
            *(Run(weighting, tuple(tasks), seed) for weighting in weightings),
        )
    ]
