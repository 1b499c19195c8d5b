"""A recipe's data, tasks and network as the source of trainings."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from counterpoint.data.images.rows import ImageRows
from counterpoint.study.recipes.data import DESCRIPTIONS, data_of
from counterpoint.study.recipes.parts import Parts
from counterpoint.study.source import Source, loaded
from counterpoint.training.given_rows import identity_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from counterpoint.data import Rows
    from counterpoint.data.images import ImageTarget
    from counterpoint.study.recipes.recipe import Recipe

_LOOKED_AT = 32
_DIGITS: Mapping[str, int] = {"left": 10, "right": 10}


def source_of(recipe: Recipe, root: Path | None, cache: Path | None = None, decoders: int = 0) -> Source:
    """What a recipe trains.

    Args:
        recipe: The recipe.
        root: The folder of its data, if they have one.
        cache: Where decoded images are kept.
        decoders: Processes that decode images beside a training.

    Raises:
        ValueError: for data, tasks or parts of a network that do not fit together.
    """
    data = data_of(recipe.data, root, cache, decoders)
    targets = targets_of(data)
    names = recipe.tasks or tuple(targets)
    for name in (*names, *recipe.losses):
        if name not in targets:
            raise ValueError(f"the data have no task {name!r}, expected among {', '.join(targets)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"task {twice[0]!r} is given twice, expected each once")
    chosen = {name: targets[name] for name in names}
    splits = loaded(data)
    train = splits["train"].only(names)
    inputs, labels = train.rows(slice(0, min(_LOOKED_AT, len(train))))
    parts = Parts(recipe.encoder, recipe.head, chosen, losses=recipe.losses).fitted(inputs, labels)
    size = recipe.fit.batch_size
    if size == 1 or len(train) % size == 1:
        parts.check_single_row(inputs, f"batches of {size} of {len(train):,} training images")
    kind = str(recipe.data["source"])
    return Source(
        name=recipe.name,
        description=DESCRIPTIONS[kind],
        tasks=tuple(names),
        data=data,
        task=parts.task,
        encoder=parts.encoder,
        head=parts.head,
        fit=recipe.fit,
        lr=recipe.optimizer.lr,
        network=parts.describe(),
        identity=(
            "recipe",
            repr(data),
            json.dumps([_rows_content(splits[name]) for name in sorted(splits)]),
            *(json.dumps(dict(each), sort_keys=True) for each in (recipe.encoder, recipe.head)),
        ),
        optimizer=recipe.optimizer,
        task_identity={name: _content(name, recipe, parts) for name in names},
    )


def targets_of(data: Any) -> dict[str, ImageTarget | int]:
    """What the images are labelled with, by task."""
    own = getattr(data, "targets", None)
    return dict(_DIGITS) if own is None else {target.name: target for target in own}


def _rows_content(rows: Rows) -> list[int | str]:
    """Which images there are, and as what: since a run, a folder may have been filled, or files been replaced."""
    return [*identity_of(rows), *([rows.stamp()] if isinstance(rows, ImageRows) else [])]


def _content(name: str, recipe: Recipe, parts: Parts) -> str:
    """What the numbers of a task depend on beside data, network, fit and optimizer."""
    change = recipe.losses.get(name)
    return json.dumps([asdict(change) if change is not None else None, parts.units.get(name)])
