"""Somebody's own Datasets and networks as a source of a study."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.data import Split
from counterpoint.serving import ClassPath, CustomNetwork
from counterpoint.study.bundling import bundle_of
from counterpoint.study.collected import PARTS, collect, stored
from counterpoint.study.runs.code import described
from counterpoint.study.runs.content import digest
from counterpoint.study.source import Source
from counterpoint.study.table_source import table_fit, task_of, units_of
from counterpoint.tasks import Task
from counterpoint.tasks.task import MISSING

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.data.tables import Target
    from counterpoint.serving import Bundle
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.study import Study
    from counterpoint.study.study_results import StudyResults


@dataclass(frozen=True)
class Made:
    """Makes a module anew each time, from whatever somebody gave; can be pickled if that can.

    Attributes:
        given: A module, which is copied and started anew; a class or a callable without arguments; or a class path.
    """

    given: Any

    def __call__(self) -> nn.Module:
        """A fresh module."""
        if isinstance(self.given, ClassPath):
            return self.given.build(_packages(self.given))
        if isinstance(self.given, nn.Module):
            made = copy.deepcopy(self.given)
            for module in made.modules():
                # A copy starts where the original stands: seeds would all start from one point.
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
            return made
        made = self.given()
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.given!r} made {type(made).__name__}, expected a torch.nn.Module")  # noqa: TRY004
        return made

    @property
    def identity(self) -> str:
        """What it makes, in plain text: structure, first weights, and the code of whatever is not a library's."""
        torch.manual_seed(0)
        return digest(described(self()))


def made(given: Any, what: str) -> Made:
    """Whatever somebody gave for a part of the network.

    Raises:
        ValueError: for what makes no module.

    Example:
        >>> made({"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 1}}, "encoder")()
        Linear(in_features=2, out_features=1, bias=True)
    """
    if isinstance(given, Mapping) and "class_path" in given:
        return Made(ClassPath.of(str(given["class_path"]), given.get("init_args")))
    if isinstance(given, nn.Module | ClassPath) or callable(given):
        return Made(given)
    raise ValueError(
        f"{what} is {given!r:.60}, expected a torch.nn.Module, a class or function that makes one, or class_path and "
        "init_args"
    )


@dataclass(frozen=True)
class _Parts:
    """Makes what a network consists of; can be pickled."""

    shared: Made
    heads: Mapping[str, Made]
    tasks: Mapping[str, Task]

    def encoder(self, tasks: Sequence[str]) -> nn.Module:  # noqa: ARG002  (the same for all)
        return self.shared()

    def head(self, task: str) -> nn.Module:
        return self.heads[task]()

    def task(self, name: str) -> Task:
        return replace(self.tasks[name], metric=self.tasks[name].metric.clone())


@dataclass(frozen=True)
class DatasetSubject:
    """Datasets with the network that learns them: what a study is about.

    Attributes:
        source: The Datasets as a source.
        network: How the network is built, if that can be said in class paths.
        targets: The tasks as columns, if all are.
    """

    source: Source
    network: CustomNetwork | None
    targets: tuple[Target, ...]

    def facts(self) -> dict[str, Any]:
        """What the report says about the data."""
        splits = self.source.splits(self.source.tasks)
        kinds = {target.name: target for target in self.targets}
        tasks = []
        for name in self.source.tasks:
            task, target = self.source.task(name), kinds.get(name)
            missing = {
                part: int((~mask).sum()) for part in PARTS if (mask := _labelled(splits[part], task)) is not None
            }
            tasks.append(
                {
                    "name": name,
                    "kind": target.kind if target else task.metric_name,
                    "transform": target.transform if target else "none",
                    "how": "from the labels" if target else "as given",
                    "classes": len(target.classes) or None if target else None,
                    "missing": missing,
                }
            )
        shape = tuple(splits["train"].inputs.shape[1:])
        return {"inputs": " x ".join(map(str, shape)), "tasks": tasks}

    def bundle(self, results: StudyResults, store: RunStore) -> Bundle | None:
        """The chosen networks, if they can be built again from class paths."""
        if self.network is None or len(self.targets) < len(self.source.tasks):
            return None
        return bundle_of(results, self.source, store, network=self.network, targets=self.targets)


def _labelled(split: Split, task: Task) -> Tensor | None:
    return task.labelled(split.targets[task.name])


def dataset_subject(study: Study, folder: Path) -> DatasetSubject:
    """Collects the rows and says what the tasks are.

    Args:
        study: What was asked for.
        folder: Where rows are kept.

    Raises:
        ValueError: for data or parts of a network that do not fit together.
    """
    if study.encoder is None:
        raise ValueError("data other than a table need an encoder, expected encoder= with a module or its class_path")
    splits = collect(_three_parts(study))
    tasks, targets, splits = _tasks(study.tasks, splits)
    _check_labels(tasks, targets, splits)
    data = stored(splits, folder)
    encoder = made(study.encoder, "encoder")
    heads = _heads(study.heads, tasks, targets, encoder, splits["train"])
    _rehearse(encoder, heads, tasks, splits["train"])
    fit = replace(
        table_fit(len(splits["train"]), study.epochs, study.batch_size), devices=study.devices, nodes=study.nodes
    )
    parts = [f"encoder {encoder.identity}", *(f"head {name} {head.identity}" for name, head in heads.items())]
    source = Source(
        name=type(study.data).__name__,
        description=f"Rows of {_name(study.data)}.",
        tasks=tuple(tasks),
        data=data,
        task=(own := _Parts(encoder, heads, tasks)).task,
        encoder=own.encoder,
        head=own.head,
        fit=fit,
        lr=study.lr,
        network=f"{type(encoder()).__name__}, a head a task",
        identity=("dataset", data.digest, *parts, json.dumps({name: _facts(task) for name, task in tasks.items()})),
        units=units_of(targets),
    )
    return DatasetSubject(source, _network(encoder, heads), targets)


def _name(data: Any) -> str:
    return str(data["class_path"]) if isinstance(data, Mapping) and "class_path" in data else type(data).__name__


def _facts(task: Task) -> list[str]:
    code = digest([described(task.loss), described(task.metric)])
    return [task.metric_name, str(task.direction), str(task.unit), code, str(task.partial)]


def _network(encoder: Made, heads: Mapping[str, Made]) -> CustomNetwork | None:
    if not all(isinstance(part.given, ClassPath) for part in (encoder, *heads.values())):
        return None
    paths = (encoder.given, *(head.given for head in heads.values()))
    trust = tuple(dict.fromkeys(package for path in paths for package in _packages(path)))
    return CustomNetwork(encoder.given, tuple((name, head.given) for name, head in heads.items()), trust)


def _packages(path: ClassPath) -> tuple[str, ...]:
    """Whoever names a class in a study trusts its package."""
    return (path.class_path.rpartition(".")[0],)


def _three_parts(study: Study) -> dict[str, Any]:
    """By split what yields rows."""
    data = study.data
    if isinstance(data, Mapping) and "class_path" in data:
        data = _instance(data)
    if isinstance(data, Mapping):
        if missing := [part for part in PARTS if part not in data]:
            raise ValueError(f"data have no {missing[0]!r}, expected Datasets for 'train', 'validation' and 'test'")
        return {part: data[part] for part in PARTS}
    if hasattr(data, "train_dataloader"):
        torch.manual_seed(0)
        for step in ("prepare_data", "setup"):
            if callable(prepare := getattr(data, step, None)):
                prepare(*(() if step == "prepare_data" else (None,)))
        loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        return dict(zip(PARTS, loaders, strict=True))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        order = np.random.default_rng(study.split_seed).permutation(len(data))
        ends = np.cumsum([round(study.validation * len(order)), round(study.test * len(order))])
        validation, test, train = np.split(order, ends)
        chosen = {"train": train, "validation": validation, "test": test}
        return {part: torch.utils.data.Subset(data, np.sort(rows).tolist()) for part, rows in chosen.items()}
    raise ValueError(
        f"data are {type(data).__name__}, expected a table's path, a DataFrame, a Dataset of (x, {{task: y}}), a "
        "mapping of three, or a LightningDataModule"
    )


def _instance(path: Mapping[str, Any]) -> Any:
    home, _, name = str(path["class_path"]).rpartition(".")
    try:
        found = getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"cannot import '{path['class_path']}' ({error}): name a class that Python can import"
        ) from None
    try:
        return found(**(path.get("init_args") or {}))
    except TypeError as error:
        raise ValueError(f"cannot build '{path['class_path']}': {error}") from None


def _tasks(
    asked: Sequence[Any], splits: dict[str, Split]
) -> tuple[dict[str, Task], tuple[Target, ...], dict[str, Split]]:
    """Tasks as given, or from the labels of targets with one number a row."""
    from counterpoint.study.study import named_tasks  # noqa: PLC0415

    known = list(splits["train"].targets)
    asked = list(asked) or known
    said: dict[str, str] = {}
    names = []
    for text in (task for task in asked if not isinstance(task, Task)):
        (name,), overrides = named_tasks([text])
        names.append(name)
        said |= dict.fromkeys([name], *overrides) if overrides else {}
    tasks: dict[str, Task] = {}
    targets, encoded = [], {}
    order = iter(names)
    for task in asked:
        name = task.name if isinstance(task, Task) else next(order)
        for part in PARTS:
            if name not in splits[part].targets:
                raise ValueError(f"task {name!r} is not among the {part} targets, {', '.join(splits[part].targets)}")
        if isinstance(task, Task):
            tasks[name] = task
            continue
        target, columns = _inferred(name, said.get(name), splits)
        targets.append(target)
        tasks[name] = task_of(target)
        encoded[name] = columns
    if len(tasks) < 2:
        raise ValueError(f"{next(iter(tasks))!r} is the only task, expected at least two: a study compares sharing")
    made_splits = {
        part: Split(split.inputs, {name: encoded.get(name, {}).get(part, split.targets[name]) for name in tasks})
        for part, split in splits.items()
    }
    return tasks, tuple(targets), made_splits


def _check_labels(tasks: Mapping[str, Task], targets: Sequence[Target], splits: Mapping[str, Split]) -> None:
    """Every run would end in an error, after its training."""
    binary = {target.name for target in targets if target.kind == "binary"}
    for name, task in tasks.items():
        for part in PARTS:
            values = splits[part].targets[name]
            mask = task.labelled(values)
            known = values if mask is None else values[mask]
            if not len(known) or (name in binary and bool((known == known[0]).all())):
                found, expected = ("one class", "both") if len(known) else ("no label", "some")
                raise ValueError(
                    f"task {name!r} has {found} in the {part} rows, expected {expected}: label more rows, or "
                    "split them in another way"
                )


def _inferred(name: str, said: str | None, splits: Mapping[str, Split]) -> tuple[Target, dict[str, Tensor]]:
    import pyarrow as pa  # noqa: PLC0415

    from counterpoint.data.tables import TableOptions, target_of, with_statistics  # noqa: PLC0415

    columns = {part: splits[part].targets[name] for part in PARTS}
    if columns["train"].ndim != 1:
        raise ValueError(
            f"task {name!r} has targets of shape {list(columns['train'].shape[1:])} a row, expected one number: "
            "give a Task with its loss and metric instead of a name"
        )
    arrays = {part: _array(values) for part, values in columns.items()}
    override = TableOptions((name,), (said,)).overrides[name] if said else None
    target, _ = target_of(name, pa.chunked_array(list(arrays.values())), override, source="the data")
    target = with_statistics(target, pa.chunked_array([arrays["train"]]))
    return target, {part: torch.tensor(target.encode(pa.chunked_array([array]))) for part, array in arrays.items()}


def _array(values: Tensor) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    numbers = values.numpy()
    missing = np.isnan(numbers) if values.is_floating_point() else numbers == MISSING
    return pa.array(numbers, mask=missing)


def _heads(
    given: Any, tasks: Mapping[str, Task], targets: Sequence[Target], encoder: Made, train: Split
) -> dict[str, Made]:
    """Each task's head; a linear layer where nothing was said and features are flat."""
    if isinstance(given, Mapping) and "class_path" not in given:
        if missing := [name for name in tasks if name not in given]:
            raise ValueError(f"heads have none for task {missing[0]!r}, expected one for each of {', '.join(tasks)}")
        return {name: made(given[name], f"the head of {name!r}") for name in tasks}
    if given is not None:
        return {name: made(given, "heads") for name in tasks}
    outputs = {target.name: target.outputs for target in targets}
    features = _features(encoder, train)
    if missing := [name for name in tasks if name not in outputs]:
        raise ValueError(f"task {missing[0]!r} has no head, expected heads= for tasks that are given as Task")
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError("the encoder's features are not [B, F], expected heads= that take what it returns")
    width = {"in_features": features.shape[1]}
    return {name: Made(ClassPath.of("torch.nn.Linear", {**width, "out_features": outputs[name]})) for name in tasks}


def _features(encoder: Made, train: Split) -> Any:
    try:
        with torch.no_grad():
            return encoder().eval()(train.rows(slice(0, 2))[0])
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shape = list(train.inputs.shape[1:])
        raise ValueError(f"the encoder cannot take rows of shape {shape}: {' '.join(str(error).split())}") from None


def _rehearse(encoder: Made, heads: Mapping[str, Made], tasks: Mapping[str, Task], train: Split) -> None:
    """One batch through every head and loss: what does not fit is found before hours of training."""
    features = _features(encoder, train)
    _, targets = train.rows(slice(0, 2))
    for name, task in tasks.items():
        try:
            with torch.no_grad():
                outputs = heads[name]().eval()(features)
                labelled = task.labelled(targets[name])
                if labelled is None or labelled.all():
                    task.loss(outputs, targets[name])
                    task.metric.clone().update(outputs, targets[name])
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"task {name!r}: head, loss and metric do not fit: {' '.join(str(error).split())}"
            ) from None
