"""Carries out a recipe: data, trainings, results."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.study.comparison import MeterSettings
from counterpoint.study.execution import LocalExecutor
from counterpoint.study.group import GroupStudy
from counterpoint.study.provenance import provenance
from counterpoint.study.recipes.compare import Trainings
from counterpoint.study.recipes.data import generate, is_folder
from counterpoint.study.recipes.facts import facts
from counterpoint.study.recipes.image_source import source_of, targets_of
from counterpoint.study.recipes.methods import TUNED
from counterpoint.study.recipes.pictures import pictures_of
from counterpoint.study.recipes.results import HISTORY, PICTURES, SCORES, RecipeResults
from counterpoint.study.results_folder import check_writable, start_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterpoint.study.group_results import GroupResults
    from counterpoint.study.recipes.job import RecipeRecord
    from counterpoint.study.recipes.recipe import Recipe
    from counterpoint.study.source import Source
    from counterpoint.study.watcher import GroupWatcher, Watcher


@dataclass(frozen=True)
class RecipeStudy:
    """A recipe with what it is carried out on.

    Attributes:
        recipe: What to do.
        root: The folder of its data, if they have one; not for rehearsals.
        out: Folder for results, report and runs.
        tiny: Whether this is a rehearsal, on generated data in the layout of the real ones.
        cache: Where decoded images are kept.
        decoders: Processes that decode images beside each training.
        workers: Trainings side by side.

    Raises:
        ValueError: for what cannot be done.
        ResultsError: if the folder cannot be written.
    """

    recipe: Recipe
    root: Path | None = None
    out: Path = Path("runs/recipe")
    tiny: bool = False
    cache: Path | None = None
    decoders: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}, expected at least 1")
        if self.decoders < 0:
            raise ValueError(f"decoders is {self.decoders}, expected 0 or more")
        if self.tiny and self.root is not None:
            raise ValueError("--root and --tiny are both given, expected one: a rehearsal generates its data")
        check_writable(self.out)

    def source(self) -> Source:
        """Data, tasks and network."""
        root, kind = self.root, str(self.recipe.data["source"])
        if self.tiny and is_folder(kind):
            root = generate(kind, self.recipe.generated, self.out / "generated")
        return source_of(self.recipe, root, self.cache, self.decoders)

    def grouping(self, source: Source) -> GroupStudy:
        """The study of a recipe that groups tasks."""
        return GroupStudy(
            source,
            self.recipe.networks,
            self.recipe.seeds,
            compare=("cs", "random"),
            fit=replace(source.fit, logs=False),
            meter=MeterSettings(self.recipe.method, self.recipe.every),
            out=self.out,
            workers=self.workers,
        )

    def group(self, command: str, watcher: GroupWatcher, source: Source) -> GroupResults:
        """Measures affinities, groups the tasks, trains the networks."""
        return self.grouping(source).run(command, watcher)

    def compare(self, command: str, watcher: Watcher, source: Source) -> RecipeResults:
        """Trains every method and saves what came out; trainings that an earlier call finished are not done again."""
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        start_over(self.out, [])
        targets = targets_of(source.data)
        dense = any(not isinstance(targets[name], int) and targets[name].kind != "binary" for name in source.tasks)  # type: ignore[union-attr]
        with closing(LocalExecutor(self.workers)) as executor:
            trainings = Trainings(self.recipe, source, self.out, executor, watcher, pictures=dense)
            trainings.run()
        if not trainings.records:
            first = next(iter(trainings.failed.values()))
            raise ValueError(f"every training failed, the first with {first.error}")
        results = RecipeResults(
            pd.DataFrame(_scores(trainings), columns=SCORES),
            pd.DataFrame(_history(trainings), columns=HISTORY),
            pd.DataFrame(pictures_of(trainings, targets) if dense else [], columns=PICTURES),
            {
                **facts(trainings, targets),
                "tiny": self.tiny,
                **provenance(command, started, time.perf_counter() - clock),
            },
        )
        results.save(self.out)
        return results


def _finished(trainings: Trainings) -> Iterator[tuple[dict[str, Any], RecipeRecord]]:
    """What every finished training left, and of which method, seed and run it is."""
    for method in trainings.recipe.methods:
        if method.key == TUNED and not trainings.scales:
            continue
        for seed in range(trainings.recipe.seeds):
            for job in trainings.jobs(method, seed):
                if (record := trainings.records.get(job.run)) is not None:
                    yield {"method": method.key, "label": method.label, "seed": seed, "run": job.run}, record


def _scores(trainings: Trainings) -> list[dict[str, Any]]:
    return [
        {**row, **whose, "seconds": record.seconds} for whose, record in _finished(trainings) for row in record.rows
    ]


def _history(trainings: Trainings) -> list[dict[str, Any]]:
    return [{**row, **whose} for whose, record in _finished(trainings) for row in record.history]
