"""Somebody's own Datasets and networks as a source of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.serving import ClassPath, CustomNetwork
from counterpoint.study.bundling import bundle_of
from counterpoint.study.collected import PARTS, collect, stored
from counterpoint.study.dataset_tasks import check_labels, dataset_tasks
from counterpoint.study.given_splits import given_splits
from counterpoint.study.module_maker import Made, made, packages_of
from counterpoint.study.runs.code import described
from counterpoint.study.runs.content import digest
from counterpoint.study.source import Source
from counterpoint.study.table_source import table_fit, units_of

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.data import Split
    from counterpoint.data.tables import Target
    from counterpoint.serving import Bundle
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.study import Study
    from counterpoint.study.study_results import StudyResults
    from counterpoint.tasks import Task


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
    splits = collect(given_splits(study))
    tasks, targets, splits = dataset_tasks(study.tasks, splits)
    check_labels(tasks, targets, splits)
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
    trust = tuple(dict.fromkeys(package for path in paths for package in packages_of(path)))
    return CustomNetwork(encoder.given, tuple((name, head.given) for name, head in heads.items()), trust)


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
