"""Where jobs run: in processes on this machine, on a Ray cluster, or by all ranks of a launch together."""

from counterpoint.study.execution.by_name import executor
from counterpoint.study.execution.cluster import RayExecutor
from counterpoint.study.execution.cores import cores
from counterpoint.study.execution.jobs import Executor, Failure
from counterpoint.study.execution.launch import launched, relaunch
from counterpoint.study.execution.local import LocalExecutor, run_all
from counterpoint.study.execution.ranks import Place, RanksExecutor, ranks

__all__ = [
    "Executor",
    "Failure",
    "LocalExecutor",
    "Place",
    "RanksExecutor",
    "RayExecutor",
    "cores",
    "executor",
    "launched",
    "ranks",
    "relaunch",
    "run_all",
]
