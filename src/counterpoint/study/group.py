"""The grouping study: measure affinities in a joint training, group the tasks, train the networks, compare."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from counterpoint.affinity import Affinity
from counterpoint.balancing import FanOut
from counterpoint.study import proposals
from counterpoint.study.comparison import MeterSettings
from counterpoint.study.execution import cores, run_all
from counterpoint.study.group_results import FAMILIES, NETWORKS, Candidate, GroupResults, run_id
from counterpoint.study.network_job import NetworkJob, TrainedNetwork, affinity_callback, train_network
from counterpoint.study.proposals import GroupingRules
from counterpoint.study.provenance import provenance
from counterpoint.study.results_folder import check_writable, start_over
from counterpoint.study.weighting_choice import weighting_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from counterpoint.study.source import Source
    from counterpoint.study.watcher import GroupWatcher
    from counterpoint.training import FitSettings

COMPETITORS = ("cs", "random", "hoa", "optimal")
# All sets of more tasks than this are too many to train.
_MOST_TASKS_TO_TRAIN_EVERY_SET = 5


@dataclass(frozen=True)
class GroupStudy:
    """Which tasks should share a network, found and tested on one data source.

    Attributes:
        source: Data and networks.
        networks: The most networks to serve; every number from 1 up to it is tried.
        seeds: Trainings of each network.
        compare: What to compare with besides single tasks and all together: ``"cs"`` (gradient cosines), ``"random"``,
            ``"hoa"`` (needs a network for every pair), ``"optimal"`` (needs a network for every set; at most 5 tasks).
        rules: What a grouping has to respect.
        fit: How to train; the source's way if ``None``.
        weighting: How tasks that share a network are balanced.
        meter: How affinities are measured.
        draws: Random groupings for each number of networks.
        pooled: Whether one grouping is sought from the mean affinity of all seeds, which is the grouping to use. If
            not, each seed goes through everything by itself, with its own split of the rows: a replicate of the
            method, for comparing methods.
        out: Folder for logs, checkpoints and results.
        workers: Trainings side by side.

    Raises:
        ValueError: for what cannot be studied.
        ResultsError: if the folder cannot be written.
    """

    source: Source
    networks: int = 3
    seeds: int = 2
    compare: tuple[str, ...] = ("cs", "random")
    rules: GroupingRules = field(default_factory=GroupingRules)
    fit: FitSettings | None = None
    weighting: str = "uniform"
    meter: MeterSettings = field(default_factory=MeterSettings)
    draws: int = 3
    pooled: bool = True
    out: Path = Path("runs/group")
    workers: int = field(default_factory=cores)

    def __post_init__(self) -> None:
        for name in ("seeds", "workers", "draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in self.compare:
            if name not in COMPETITORS:
                raise ValueError(f"unknown competitor {name!r}, expected names among {', '.join(COMPETITORS)}")
            if self.compare.count(name) > 1:
                raise ValueError(f"competitor {name!r} is given twice, expected each name once")
        count = len(self.source.tasks)
        if "optimal" in self.compare and count > _MOST_TASKS_TO_TRAIN_EVERY_SET:
            raise ValueError(
                f"'optimal' trains every set of tasks, {2**count - 1:,} for {count} tasks, expected at most "
                f"{_MOST_TASKS_TO_TRAIN_EVERY_SET} tasks: leave it out"
            )
        FanOut(weighting_of(self.weighting), self.source.tasks)  # refuses what makes no sense at feature level
        affinity_callback(self.source.tasks, self.meter)
        # A rehearsal on nothing: contradictory rules are refused before hours of training.
        nothing = Affinity(np.zeros((count, count)), self.source.tasks)
        proposals.from_affinity("tag", nothing, self.networks, self.rules, search={}, seed=None)
        _ = self._draws
        check_writable(self.out)

    @property
    def settings(self) -> FitSettings:
        """How networks are trained."""
        return self.fit or self.source.fit

    @property
    def _first_sets(self) -> list[tuple[str, ...]]:
        """Everything that can be trained before a grouping is known; all tasks together comes first."""
        tasks = self.source.tasks
        sets = [tasks, *((task,) for task in self.rules.served(tasks))]
        for family in self.compare:
            sets += proposals.sets_to_train(family, tasks, self.rules)
        sets += [network.tasks for candidate in self._draws for network in candidate.networks]
        return _distinct(sets)

    @cached_property
    def _draws(self) -> list[Candidate]:
        if "random" not in self.compare:
            return []
        most = min(self.networks, len(self.rules.served(self.source.tasks)))
        return proposals.draws(self.source.tasks, range(2, most + 1), self.rules, self.draws)

    @property
    def runs(self) -> int:
        """The most trainings that this can take."""
        first = len(self._first_sets)
        families = 1 + sum(name in self.compare for name in ("cs", "hoa"))
        # A single network is that of all tasks together, unless some tasks may be left out.
        single = 1 if self.rules.serve else 0
        return self.seeds * (first + single + families * sum(range(2, self.networks + 1)))

    def run(self, command: str, watcher: GroupWatcher) -> GroupResults:
        """Trains everything and saves the results.

        Args:
            command: The command line that reproduces this study.
            watcher: Is told how things are going.
        """
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        start_over(self.out, (self.out / "runs").glob("*-tasks-????????????-seed*"))
        everyone = self.source.tasks
        first = {(tasks, seed) for tasks in self._first_sets for seed in range(self.seeds)}
        title = "Joint training with the meter on, single tasks, and what the comparison needs"
        trained = self._train(title, first, watcher, measured=everyone)
        joint = [trained[run_id(everyone, seed)] for seed in range(self.seeds)]
        candidates = self._candidates(joint, trained)
        for candidate in candidates:
            watcher.grouped(candidate)
        wanted = {
            (network.tasks, seed)
            for candidate in candidates
            for seed in (range(self.seeds) if candidate.seed is None else [candidate.seed])
            for network in candidate.networks
            if run_id(network.tasks, seed) not in trained
        }
        trained |= self._train("Training the networks of the groupings", wanted, watcher)
        rows = [row for network in trained.values() for row in network.rows]
        results = GroupResults(
            pd.DataFrame(rows, columns=NETWORKS),
            tuple(candidates),
            Affinity.mean([network.affinity for network in joint if network.affinity is not None]),
            self._about(command, started, time.perf_counter() - clock),
        )
        results.save(self.out)
        return results

    def _train(
        self,
        title: str,
        wanted: Iterable[tuple[tuple[str, ...], int]],
        watcher: GroupWatcher,
        measured: tuple[str, ...] = (),
    ) -> dict[str, TrainedNetwork]:
        # The longest first, so that no worker is left with one at the end.
        ordered = sorted(wanted, key=lambda run: (-len(run[0]), run))
        jobs = [self._job(tasks, seed, measured=tasks == measured) for tasks, seed in ordered]
        if not jobs:
            return {}
        watcher.stage(title, [job.title for job in jobs])
        networks = run_all(
            jobs,
            train_network,
            self.workers,
            watcher.progress,
            lambda index, network: watcher.done(index, network.seconds),
        )
        return {job.run: network for job, network in zip(jobs, networks, strict=True)}

    def _job(self, tasks: tuple[str, ...], seed: int, *, measured: bool) -> NetworkJob:
        source = self.source if self.pooled else self.source.with_data_seed(seed)
        name = sha256(run_id(tasks, seed).encode()).hexdigest()[:12]
        folder = self.out / "runs" / f"{len(tasks)}-tasks-{name}-seed{seed}"
        meter = self.meter if measured and len(tasks) > 1 else None
        return NetworkJob(source, tasks, seed, self.settings, folder, self.weighting, meter)

    def _candidates(self, joint: Sequence[TrainedNetwork], trained: dict[str, TrainedNetwork]) -> list[Candidate]:
        tasks, sizes = self.source.tasks, range(1, self.networks + 1)
        found = [proposals.alone(tasks, self.rules), proposals.together(tasks, self.rules)]
        for seeds in [range(self.seeds)] if self.pooled else [[seed] for seed in range(self.seeds)]:
            label = None if self.pooled else seeds[0]
            search = self._seconds([tasks], seeds, trained)
            measured = {
                "tag": [joint[seed].affinity for seed in seeds],
                "cs": [joint[seed].cosines for seed in seeds],
            }
            for family, matrices in measured.items():
                if family == "tag" or family in self.compare:
                    mean = Affinity.mean([matrix for matrix in matrices if matrix is not None])
                    some = sizes if family == "tag" else sizes[1:]
                    found += proposals.for_every_size(family, mean, some, self.rules, search=search, seed=label)
            for family in self.compare:
                sets = proposals.sets_to_train(family, tasks, self.rules)
                if not sets:
                    continue
                search = self._seconds(sets, seeds, trained)
                losses = _validation_losses(sets, seeds, trained)
                if family == "hoa":
                    gains = Affinity(proposals.pairwise_gains(tasks, losses), tasks)
                    found += proposals.for_every_size("hoa", gains, sizes[1:], self.rules, search=search, seed=label)
                else:
                    found += proposals.best_of_all_for_every_size(
                        tasks, losses, sizes[1:], self.rules, search=search, seed=label
                    )
        return found + self._draws

    @staticmethod
    def _seconds(
        sets: Iterable[tuple[str, ...]], seeds: Sequence[int], trained: dict[str, TrainedNetwork]
    ) -> dict[frozenset[str], float]:
        """Training time of the network of each set, mean over the seeds."""
        return {
            frozenset(group): sum(trained[run_id(group, seed)].seconds for seed in seeds) / len(seeds) for group in sets
        }

    def _about(self, command: str, started: dt.datetime, seconds: float) -> dict[str, Any]:
        names = [FAMILIES[name] for name in self.compare]
        return {
            "title": "Which tasks should share a network?",
            "question": (
                f"{len(self.source.tasks)} tasks, at most {self.networks} networks to serve: the tasks are trained "
                "together once while it is measured whose step helps whom; the best grouping is computed from that, "
                "its networks are trained, and every task is tested in the network that serves it."
            ),
            "data": self.source.about(),
            "settings": {
                "network": self.source.network,
                "epochs": self.settings.epochs,
                "batch size": self.settings.batch_size,
                "optimizer": "Adam",
                "learning rate": self.source.lr,
                "weighting": self.weighting,
                "seeds": self.seeds,
                "affinity": f"{self.meter.method}, every {self.meter.every} steps",
                "single tasks": "allowed, score 0" if self.rules.singletons == "neutral" else "forbidden",
                "compared with": ", ".join(names) or "single tasks and all together",
                "grouping": "one, from the mean affinity of all seeds" if self.pooled else "one for each seed",
                "tested": "checkpoint with the best mean validation score",
                "runs side by side": self.workers,
            },
            **provenance(command, started, seconds),
        }


def _validation_losses(
    sets: Iterable[tuple[str, ...]], seeds: Sequence[int], trained: dict[str, TrainedNetwork]
) -> dict[tuple[frozenset[str], str], float]:
    """Mean over the seeds of each task's validation loss in the network of each set."""
    losses: dict[tuple[frozenset[str], str], float] = {}
    for group in sets:
        for seed in seeds:
            for row in trained[run_id(group, seed)].rows:
                key = frozenset(group), str(row["task"])
                losses[key] = losses.get(key, 0.0) + float(row["validation_loss"]) / len(seeds)
    return losses


def _distinct(sets: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return list({frozenset(group): group for group in reversed(list(sets))}.values())[::-1]
