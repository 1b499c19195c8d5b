"""The study: your own data in, a decision and a servable model out."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from counterpoint.balancing import FanOut
from counterpoint.serving import write_bundle
from counterpoint.serving.write import check_free
from counterpoint.study.comparison import Comparison, MeterSettings
from counterpoint.study.execution import cores
from counterpoint.study.execution import executor as executor_of
from counterpoint.study.investigation import Investigation
from counterpoint.study.network_job import affinity_callback
from counterpoint.study.provenance import provenance
from counterpoint.study.results_folder import check_writable
from counterpoint.study.runs.store import RunStore
from counterpoint.study.study_facts import facts_of, how_to_predict
from counterpoint.study.study_outcome import outcome_of
from counterpoint.study.tally import Tally
from counterpoint.study.watcher import Silent
from counterpoint.study.weighting_choice import weighting_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.study.execution import Executor
    from counterpoint.study.study_results import StudyResults
    from counterpoint.study.subject import Subject
    from counterpoint.study.watcher import StudyWatcher

BUNDLE, DATA = "bundle", "data"


@dataclass(frozen=True)
class Study:
    """Which tasks to train together, with which weighting, and what that gains over a network for each task.

    Trains each task alone, all together, all together with the weightings and loss scales asked for, and in the groups
    that the affinities of the joint training suggest, each with several seeds. Chooses on validation rows, confirms on
    test rows, and writes results, a report's numbers and a bundle that predicts into ``out``. A study that was stopped,
    however, is taken up again by running it again: no finished run is repeated.

    Args:
        data: A table: a CSV file (also .gz), a Parquet file or a DataFrame. Or a torch Dataset that yields
            ``(x, {task: y})``, a mapping with such Datasets for ``"train"``, ``"validation"`` and ``"test"``, or a
            LightningDataModule whose loaders yield batches of that kind.
        tasks: Of a table the columns to predict, each as ``"price"`` or with its kind, ``"price:regression:log"``; of
            Datasets names of the targets or :class:`Task` objects.
        encoder: For Datasets: makes the part of the network that tasks share. A module, a class, a callable without
            arguments, or ``{"class_path": ..., "init_args": {...}}``.
        heads: For Datasets: the same for each task, in a mapping by task, or one for all.
        networks: The most networks to serve, ``None`` for no limit.
        weightings: The weightings to try besides the plain sum of the losses, such as ``"mgda"`` or, with options,
            ``"cagrad(c=0.4)"``.
        seeds: Trainings of each network.
        scale_trials: Vectors of loss scales to try: the tuned baseline.
        minutes: The time to stay within; what is least useful is dropped first, and said.
        architecture: For tables: ``"mlp"``, ``"mmoe"`` or ``"ple"``.
        hidden: For tables: widths of hidden layers.
        features: For tables: the only columns to use.
        drop: For tables: columns not to use.
        split: ``"auto"``, ``"random"``, ``"stratified"``, ``"grouped"`` or ``"time"``.
        group_by: Rows with the same value in this column stay in one split.
        time_by: The oldest rows by this column train, the newest test.
        validation: Share of the rows to choose with.
        test: Share of the rows to test with.
        split_seed: Seed of the split.
        epochs: Passes over the training rows; by default what suits their number, with early stopping.
        batch_size: Rows a step; by default what suits their number.
        lr: Learning rate of Adam.
        meter: How affinities are measured.
        out: Folder for everything.
        workers: Trainings side by side; by default one a core. A program with more than one has to start its work below
            ``if __name__ == "__main__":``, as all that use processes.
        executor: ``"local"``, ``"ray"``, or an executor.
        address: Of an existing Ray cluster.
        devices: Processes on each machine that train each network together, under torchrun with ``RanksExecutor``.
        nodes: Machines that train each network together, in the same way.

    Raises:
        ValueError: for what cannot be studied, before anything is trained.

    Example:
        >>> import numpy as np, pandas as pd, tempfile
        >>> x = np.random.default_rng(0).normal(size=(300, 3))
        >>> frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(sum=x.sum(1), up=x[:, 0] > 0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     study = Study(frame, ["sum", "up"], weightings=(), scale_trials=0, seeds=2, epochs=2, hidden=(8,),
        ...                   out=folder, workers=1)
        ...     results = study.run()
        >>> results.decision.verdict in {"share", "separate", "no difference", "undecided"}
        True
    """

    data: Any
    tasks: Sequence[Any] = ()
    encoder: Any = None
    heads: Any = None
    networks: int | None = None
    weightings: Sequence[str] = ("mgda", "dibs")
    seeds: int = 3
    scale_trials: int = 4
    minutes: float | None = None
    architecture: Literal["mlp", "mmoe", "ple"] = "mlp"
    hidden: Sequence[int] = (256, 256)
    features: Sequence[str] = ()
    drop: Sequence[str] = ()
    split: Literal["auto", "random", "stratified", "grouped", "time"] = "auto"
    group_by: str | None = None
    time_by: str | None = None
    validation: float = 0.15
    test: float = 0.15
    split_seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    lr: float = 1e-3
    meter: MeterSettings = field(default_factory=MeterSettings)
    out: str | Path = Path("runs/study")
    workers: int | None = None
    executor: Literal["local", "ray"] | Executor = "local"
    address: str | None = None
    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers is {self.workers}, expected at least 1")
        if not (self.lr > 0 and np.isfinite(self.lr)):
            raise ValueError(f"lr is {self.lr:g}, expected a positive number")
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        for name in self.comparison.weightings:
            FanOut(weighting_of(name), ("a", "b"))  # refuses what is unknown or makes no sense at feature level
        affinity_callback(("a", "b"), self.meter)
        if isinstance(self.executor, str):
            executor_of(self.executor, self.workers or 1, self.address).close()

    @property
    def comparison(self) -> Comparison:
        """What is compared."""
        return Comparison(
            self.networks, tuple(self.weightings), self.seeds, self.scale_trials, self.minutes, self.meter
        )

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.out)

    @property
    def _place(self) -> Path:
        """The folder as processes find it that are at home in another one, such as a Ray cluster's."""
        return self.folder.resolve()

    def subject(self, on_progress: Callable[[str], None] | None = None) -> Subject:
        """Reads and prepares the data, or finds them prepared.

        Args:
            on_progress: Hears in words what is being done.

        Raises:
            ValueError: for data that cannot be studied.
        """
        table = isinstance(self.data, str | Path | pd.DataFrame)
        self._refuse_options_of_others(table)
        check_writable(self.folder)
        check_free(self.folder / BUNDLE)
        if not table:
            from counterpoint.study.dataset_source import dataset_subject  # noqa: PLC0415

            return dataset_subject(self, self._place / DATA)
        from counterpoint.study.table_subject import table_subject  # noqa: PLC0415

        return table_subject(self, self._place / DATA, on_progress)

    def _refuse_options_of_others(self, table: bool) -> None:
        """What would be left out of account without a word."""
        of_datasets = ("encoder", "heads")
        of_tables = ("architecture", "hidden", "features", "drop", "split", "group_by", "time_by")
        defaults = {option.name: option.default for option in fields(self)}
        for name in of_datasets if table else of_tables:
            value = getattr(self, name)
            if (tuple(value) if isinstance(value, list) else value) != defaults[name]:
                kind, other = ("a table", "a Dataset") if table else (f"{type(self.data).__name__} data", "a table")
                raise ValueError(f"{name} is given with {kind}, expected it with {other} alone: leave it out")

    def run(
        self, command: str = "", watcher: StudyWatcher | None = None, subject: Subject | None = None
    ) -> StudyResults:
        """Trains, decides, and writes everything into ``out``.

        Args:
            command: The command line that reproduces the study.
            watcher: Is told how things are going.
            subject: What :meth:`subject` made, if it was called before.

        Raises:
            ValueError: for data that cannot be studied.
            ResultsError: if the folder cannot be written, or no run succeeded.
        """
        if self.devices * self.nodes > 1 and isinstance(self.executor, str):
            # Each rank would be a study of its own, and wait for a run that waits for the other rank.
            raise ValueError(
                f"devices={self.devices} on nodes={self.nodes} need executor=RanksExecutor(place) under torchrun, but "
                f"executor is {self.executor!r}; the command counterpoint study --devices={self.devices} does all that"
            )
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        subject = self.subject() if subject is None else subject
        source, store = subject.source, RunStore(self._place / "runs")
        comparison = self.comparison
        place = self.executor
        # Ranks do one run at a time; others say how many.
        workers = (self.workers or cores()) if isinstance(place, str) else getattr(place, "workers", 1)
        executor = executor_of(place, workers, self.address, self._place) if isinstance(place, str) else place
        with executor:
            investigation = Investigation(
                Tally(source, source.fit, store, comparison.meter, comparison.seeds),
                comparison,
                self.folder,
                executor,
                workers,
                watcher or Silent(),
            )
            methods = investigation.run()
        results = outcome_of(investigation, methods, comparison)
        facts = facts_of(self, subject, workers, command)
        facts |= provenance(command, started, time.perf_counter() - clock)
        results = replace(results, about=facts)
        bundle = subject.bundle(results, store)
        if bundle is not None:
            write_bundle(self.folder / BUNDLE, bundle)
            predict = how_to_predict(self.folder / BUNDLE, bundle)
            facts |= {"bundle": BUNDLE, "predict": predict, "reproduce": [*facts["reproduce"], predict]}
        results = replace(results, about=facts)
        results.save(self.folder)
        return results
