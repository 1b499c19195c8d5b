"""The study: your own data in, a decision and a servable model out."""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

from counterpoint.balancing import FanOut
from counterpoint.serving import write_bundle
from counterpoint.serving.custom import ALWAYS_TRUSTED
from counterpoint.serving.write import check_free
from counterpoint.study.comparison import Comparison, MeterSettings, Silent
from counterpoint.study.decision import decide
from counterpoint.study.execution import executor as executor_of
from counterpoint.study.investigation import Investigation
from counterpoint.study.network_job import affinity_callback
from counterpoint.study.provenance import provenance
from counterpoint.study.results_folder import ResultsError, check_writable
from counterpoint.study.runs.store import RunStore
from counterpoint.study.study_results import RUN_HISTORY, StudyResults, scores_of
from counterpoint.study.summary import BASELINE
from counterpoint.study.tally import Tally
from counterpoint.study.weighting_choice import weighting_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.serving import Bundle
    from counterpoint.study.comparison import Watcher
    from counterpoint.study.execution import Executor
    from counterpoint.study.methods import Method
    from counterpoint.study.source import Source

BUNDLE, DATA = "bundle", "data"


class Subject(Protocol):
    """What a study is about."""

    @property
    def source(self) -> Source:
        """Data and networks."""

    def facts(self) -> dict[str, Any]:
        """What the report says about the data, beyond their name."""

    def bundle(self, results: StudyResults, store: RunStore) -> Bundle | None:
        """The chosen networks, ready to serve; ``None`` if they cannot be written without code of the user's."""


@dataclass(frozen=True)
class Study:
    """Which tasks to train together, with which weighting, and what that gains over separate models.

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
        return self._table(on_progress)

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

    def _table(self, on_progress: Callable[[str], None] | None) -> Subject:
        from counterpoint.data.tables import TableOptions, prepare  # noqa: PLC0415
        from counterpoint.models import TableNetwork  # noqa: PLC0415
        from counterpoint.study.table_source import TableSubject, table_fit, table_source  # noqa: PLC0415

        targets, overrides = named_tasks(self.tasks)
        options = TableOptions(
            targets,
            overrides,
            tuple(self.features),
            tuple(self.drop),
            self.split,
            self.group_by,
            self.time_by,
            self.validation,
            self.test,
            self.split_seed,
        )
        if len(targets) < 2:
            raise ValueError(f"{targets[0]!r} is the only target, expected at least two: a study compares sharing")
        prepared = prepare(self.data, options, self._place / DATA, on_progress)
        cooked = prepared.schema.preprocessing
        network = TableNetwork(
            self.architecture, cooked.inputs, tuple(cooked.cardinalities), tuple(int(width) for width in self.hidden)
        )
        fit = table_fit(prepared.schema.rows["train"], self.epochs, self.batch_size)
        fit = replace(fit, devices=self.devices, nodes=self.nodes)
        name = "a DataFrame" if isinstance(self.data, pd.DataFrame) else Path(self.data).name
        return TableSubject(table_source(name, prepared, network, fit, self.lr), prepared, network)

    def run(self, command: str = "", watcher: Watcher | None = None, subject: Subject | None = None) -> StudyResults:
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
        workers = (self.workers or _cores()) if isinstance(place, str) else getattr(place, "workers", 1)
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
        results = _results(investigation, methods, comparison)
        facts = {
            "title": "What to train together",
            "question": _question(source, comparison),
            "data": source.about(),
            "table": subject.facts(),
            "settings": self._settings(source, workers),
            "reproduce": [line for line in (command, shlex.join(["counterpoint", "report", str(self.folder)])) if line],
            **provenance(command, started, time.perf_counter() - clock),
        }
        results = replace(results, about=facts)
        bundle = subject.bundle(results, store)
        if bundle is not None:
            write_bundle(self.folder / BUNDLE, bundle)
            predict = _predicts(self.folder / BUNDLE, bundle)
            facts |= {"bundle": BUNDLE, "predict": predict, "reproduce": [*facts["reproduce"], predict]}
        results = replace(results, about=facts)
        results.save(self.folder)
        return results

    def _settings(self, source: Source, workers: int) -> dict[str, Any]:
        fit, comparison = source.fit, self.comparison
        return {
            "network": source.network,
            "epochs": f"at most {fit.epochs}" if fit.patience else fit.epochs,
            **(
                {"stops early": f"after {fit.patience} epochs without a better validation score"}
                if fit.patience
                else {}
            ),
            "batch size": fit.batch_size,
            "optimizer": "Adam",
            "learning rate": source.lr,
            "seeds": comparison.seeds,
            "weightings": ", ".join(comparison.weightings) or "none besides the plain sum",
            "loss scales tried": comparison.scale_trials,
            "networks to serve": comparison.networks or "no limit",
            "affinity": f"{comparison.meter.method}, every {comparison.meter.every} steps",
            "tested": "checkpoint with the best mean validation score",
            "runs side by side": workers,
            "executor": self.executor if isinstance(self.executor, str) else type(self.executor).__name__,
        }


def _cores() -> int:
    """Those that this process may use; a container or a batch system may have given it a few of many."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _predicts(folder: Path, bundle: Bundle) -> str:
    """How to predict with a bundle: without preprocessing, from inputs that only the user's own code can make."""
    if bundle.preprocessing is not None:
        return shlex.join(["counterpoint", "predict", str(folder), "new.csv", "--out=predictions.csv"])
    wanted = {package for served in bundle.networks for package in getattr(served.network, "trust", ())}
    trust = sorted(wanted - set(ALWAYS_TRUSTED))
    said = f", trust={trust}" if trust else ""
    return f"counterpoint.load_bundle({str(folder)!r}{said}).predict(inputs)"


_KINDS = "binary|multiclass|regression|count"
_KIND = re.compile(rf"(?P<name>.+?):(?P<kind>({_KINDS})(:(?!({_KINDS})$)\w+)?)")


def named_tasks(tasks: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of columns, and those of them with what they are.

    Raises:
        ValueError: for what is no name.

    Example:
        >>> named_tasks(["price:regression:log", "cut"])
        (('price', 'cut'), ('price:regression:log',))
    """
    if isinstance(tasks, str):
        tasks = [tasks]
    names, overrides = [], []
    for task in tasks:
        if not isinstance(task, str):
            raise ValueError(f"task {task!r} is no name, expected names of columns")  # noqa: TRY004
        match = _KIND.fullmatch(task)
        names.append(match["name"] if match else task)
        overrides += [task] if match else []
    return tuple(names), tuple(overrides)


def _question(source: Source, comparison: Comparison) -> str:
    limit = f", with at most {comparison.networks} networks to serve" if comparison.networks else ""
    return (
        f"{len(source.tasks)} tasks: which of them to train together, how to balance them, and what that gains over "
        f"separate models{limit}."
    )


def _results(investigation: Investigation, methods: list[Method], comparison: Comparison) -> StudyResults:
    tally = investigation.tally
    served = tally.served(methods)
    if not any(method.shares for method in methods):
        raise ResultsError(f"no way of sharing could be trained, the first failure: {_first(investigation)}")
    if BASELINE not in served:
        raise ResultsError(f"each task alone could not be trained, the first failure: {_first(investigation)}")
    table = tally.table
    validation, test = (scores_of(table, tuple(methods), served, split) for split in ("validation", "test"))
    costs = {method.key: tally.cost(method, investigation.led_to(method)) for method in methods}
    runs = sorted({run for seeds in served.values() for names in seeds.values() for run in names})
    parts = [pd.read_parquet(tally.store.place(run) / "history.parquet") for run in runs]
    return StudyResults(
        table,
        pd.concat(parts, ignore_index=True)[RUN_HISTORY],
        tuple(methods),
        served,
        decide(methods, validation, test, costs, networks=comparison.networks),
        investigation.affinity,
        investigation.plan(),
    )


def _first(investigation: Investigation) -> str:
    crashed = investigation.crashed
    return f"{crashed[0]['title']}: {crashed[0]['error']}" if crashed else "there is none on record"
