"""Which rows a folder has, and which of them go where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path


def expect_folder(root: Path, inner: str, layout: str) -> Path:
    """A folder of a data set, if it is there.

    Args:
        root: The folder that the user gave.
        inner: Where it should be in that one.
        layout: What is expected where, for the error.

    Raises:
        ValueError: if it is missing, naming a folder right above or below ``root`` that has it.
    """
    folder = root / inner
    if not folder.is_dir():
        raise missing(root, inner, layout)
    return folder


def missing(root: Path, inner: str, layout: str) -> ValueError:
    """The error for what is not there.

    Args:
        root: The folder that the user gave.
        inner: What it should have.
        layout: What is expected where.
    """
    around = [root.absolute().parent]
    if root.is_dir():
        around += sorted(path for path in root.iterdir() if path.is_dir())
    # Archives often unpack into a folder of their own: a level too high or too low is what people get wrong.
    near = next((folder for folder in around if (folder / inner).exists()), None)
    hint = f"; {near} has {inner}" if near is not None else ""
    return ValueError(f"{root / inner} is missing, expected {layout}{hint}")


def keys_in(folder: Path, ending: str) -> list[str]:
    """Names of the files with an ending, without it, sorted; not hidden ones: macOS lays such beside what it copies."""
    names = (path.name for path in folder.iterdir())
    return sorted(name.removesuffix(ending) for name in names if name.endswith(ending) and not name.startswith("."))


def nested_keys_in(folder: Path, ending: str) -> list[str]:
    """The same of all its folders: ``"aachen/aachen_000000_000019"``."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    return [f"{own.name}/{key}" for own in inner for key in keys_in(own, ending)]


def expect_same(keys: Collection[str], found: Collection[str], images: str, labels: str) -> None:
    """Checks that there is one label an image.

    Args:
        keys: Of the images.
        found: Of the labels.
        images: Where the images are, for the error.
        labels: Where the labels are, for the error.

    Raises:
        ValueError: if there are others, naming one of them.
    """
    if set(keys) == set(found):
        return
    without, more = sorted(set(keys) - set(found)), sorted(set(found) - set(keys))
    one = f"there is none for {without[0]!r}" if without else f"{more[0]!r} is none of the images"
    raise ValueError(
        f"{labels} has {len(found)} labels for the {len(keys)} images of {images}, expected one each: {one}"
    )


def held_out(groups: Sequence[str], shares: Sequence[float], seed: int, what: str) -> list[list[str]]:
    """Draws groups of rows, until each part has its share of the rows, at least one group each.

    Args:
        groups: The group that each row belongs to: groups stay together.
        shares: Of the rows, one for each part; what is left over is the rest.
        seed: Of the order in which groups are drawn.
        what: The groups are, in the plural, for the error.

    Returns:
        Names of groups: one list for each share, and last the rest, which has at least one.

    Raises:
        ValueError: for shares that leave nothing, fewer groups than parts, or a negative seed.

    Example:
        >>> parts = held_out(["a", "a", "b", "c", "d"], [0.2], seed=0, what="cities")
        >>> len(parts[0]), len(parts[1])
        (1, 3)
    """
    if seed < 0:
        raise ValueError(f"seed of the {what} held out is {seed}, expected at least 0")
    if any(not 0 < share < 1 for share in shares) or sum(shares) >= 1:
        raise ValueError(f"shares of rows held out are {list(shares)}, expected each above 0 and less than 1 in sum")
    names, counts = np.unique(np.asarray(groups), return_counts=True)
    if len(names) <= len(shares):
        raise ValueError(
            f"the training rows are of {len(names)} {what}, expected at least {len(shares) + 1}: no {what} may be in "
            "two splits"
        )
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    parts: list[list[str]] = []
    for place, share in enumerate(shares):
        part = [order.pop()]
        rows = int(counts[part[0]])
        # Never the last groups: the parts to come and the rest need one each.
        while rows < share * len(groups) and len(order) > len(shares) - place:
            part.append(order.pop())
            rows += int(counts[part[-1]])
        parts.append(sorted(str(names[index]) for index in part))
    return [*parts, sorted(str(names[index]) for index in order)]


def chosen_tasks(asked: Iterable[str], known: Mapping[str, object], what: str) -> tuple[str, ...]:
    """The tasks that were asked for, all of them if none was named.

    Args:
        asked: Names.
        known: What there is.
        what: Says what has them, for the error.

    Raises:
        ValueError: for a task that is not there, or that is named twice.
    """
    tasks = tuple(asked) or tuple(known)
    for task in tasks:
        if task not in known:
            raise ValueError(f"{what} has no task {task!r}, expected some of {', '.join(known)}")
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"tasks are {list(tasks)}, expected each once")
    return tasks
