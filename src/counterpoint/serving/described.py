"""Tasks, preprocessing and networks as bundle.json describes them: nothing is believed that was not checked.

What reads them elsewhere reads what this library wrote; here somebody else may have.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from counterpoint.serving.custom import CustomNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.data.tables import Preprocessing, Target
    from counterpoint.models import TableNetwork
    from counterpoint.serving.weights import Layout

_TRANSFORMS = {"none", "log", "log1p"}
_COLUMN_KINDS = {"numeric", "boolean", "datetime", "category"}
_PARTS = {"elapsed", "year", "month", "day of week", "hour"}


def target_of(document: Mapping[str, Any]) -> Target:
    """A task.

    Raises:
        ValueError: if it does not hold together.
        KeyError: if something is missing.
    """
    from counterpoint.data.tables import Target  # noqa: PLC0415  (needs an extra)

    target = Target.from_json(document)
    if not text_of(target.name):
        raise ValueError("its name is empty")
    classes = {"binary": 2, "multiclass": max(2, len(target.classes)), "regression": 0, "count": 0}
    if target.kind not in classes or target.transform not in _TRANSFORMS:
        raise ValueError(f"it is a {target.kind!r:.40} with transform {target.transform!r:.40}, which is unknown")
    if len(target.classes) != classes[target.kind]:
        raise ValueError(f"it has {len(target.classes)} classes, expected {classes[target.kind]} of a {target.kind}")
    if not all(isinstance(label, str | int | float) for label in target.classes):
        raise ValueError("it has classes that are neither text nor numbers")
    if not (math.isfinite(target.mean) and math.isfinite(target.scale) and target.scale > 0):
        raise ValueError(f"its mean is {target.mean!r:.40} and its scale {target.scale!r:.40}, expected finite numbers")
    return target


def preprocessing_of(document: Mapping[str, Any]) -> Preprocessing:
    """A preprocessing. Else it would show when rows are transformed, which is too late for whoever serves it.

    Raises:
        ValueError: if its numbers do not hold together.
        KeyError: if something is missing.
    """
    from counterpoint.data.tables import Preprocessing  # noqa: PLC0415  (needs an extra)

    made = Preprocessing.from_json(document)
    for feature in made.features:
        name = text_of(feature.name)
        if feature.kind not in _COLUMN_KINDS or not set(feature.parts) <= _PARTS:
            raise ValueError(
                f"column {name!r:.80} is a {feature.kind!r:.40} of {feature.parts!r:.80}, which is unknown"
            )
        if (feature.kind == "datetime") != bool(feature.parts):
            raise ValueError(f"column {name!r:.80} has parts of times and is not one, or the reverse")
        if not (isinstance(feature.missing, bool) and isinstance(feature.coded, bool)):
            raise TypeError(f"column {name!r:.80} does not say whether it has codes and missing values")
        if feature.kind == "category" and not feature.codes:
            raise ValueError(f"column {name!r:.80} has no categories")
        for category in feature.categories:
            text_of(category)
    numeric = sum(len(feature.names) for feature in made.features if feature.kind != "category")
    for what, found in (("medians", made.medians), ("means", made.means), ("scales", made.scales)):
        if len(found) != numeric or not all(math.isfinite(number) for number in found):
            raise ValueError(f"it has {len(found)} {what}, expected {numeric} finite numbers")
    if not all(scale > 0 for scale in made.scales):
        raise ValueError(f"it has a scale of {min(made.scales):g}, expected positive ones")
    return made


def network_of(document: Mapping[str, Any], weights: Layout, trust: Sequence[str]) -> TableNetwork | CustomNetwork:
    """How a network is built.

    Args:
        document: What bundle.json says.
        weights: What its weights file holds. Every width, expert and category has a weight, and every layer and
            category column a tensor, so that nothing in the description can be larger than that.
        trust: Packages whose classes it may be made of.

    Raises:
        ValueError: if it does not hold together.
        KeyError: if something is missing.
    """
    from counterpoint.models import TableNetwork  # noqa: PLC0415

    if "encoder" in document:
        return CustomNetwork.from_json(document, trust)
    values = [document[field.name] for field in fields(TableNetwork)]
    listed = [number for value in values for number in (value if isinstance(value, list) else [value])]
    largest = max((number for number in listed if isinstance(number, int)), default=0)
    longest = max((len(value) for value in values if isinstance(value, list)), default=0)
    if largest > (held := sum(math.prod(shape) for _, shape in weights.values())):
        raise ValueError(f"it has a size of {largest:,}, its file holds {held:,} weights")
    if longest > len(weights):
        raise ValueError(f"it has {longest:,} layers or category columns, its file holds {len(weights):,} tensors")
    return TableNetwork(*values)


def text_of(value: object) -> str:
    """A value that has to be text.

    Raises:
        TypeError: if it is something else.
        ValueError: if it is no text that can be written anywhere.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} stands where text is expected")
    value.encode()  # JSON can spell half a character, which no file of text can hold
    return value


def texts_of(value: object) -> tuple[str, ...]:
    """A value that has to be a list of text.

    Raises:
        TypeError: if it is something else.
    """
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} stands where a list of names is expected")
    return tuple(text_of(one) for one in value)
